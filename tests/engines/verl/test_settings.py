"""The settings under `meds:` and what is refused at the start."""

from types import SimpleNamespace

import pytest

pytest.importorskip("verl.trainer.ppo.v1")

from composing import composed
from omegaconf import OmegaConf

from meds_rl.engines.settings import PRESETS, SETTINGS, default_of, settings_of
from meds_rl.engines.verl.config import DEFAULTS, check_config, num_features, read_settings, section
from meds_rl.engines.verl.main import CONFIG_FOLDER, main, name_plugin, run


def test_the_shipped_section_is_made_from_the_table_of_settings():
    assert OmegaConf.to_container(composed().meds) == DEFAULTS
    assert {name: default_of("verl", name) for name in settings_of("verl")} == DEFAULTS
    assert (CONFIG_FOLDER / "meds_trainer.yaml").read_text().endswith(f"\n\n{section()}")


def test_every_setting_of_trl_alone_is_refused_with_a_reason():
    for name in set(SETTINGS) - set(DEFAULTS):
        with pytest.raises(ValueError, match=rf"meds\.{name} is not a setting in verl: .*\. Leave it out"):
            read_settings({name: None})


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_what_the_user_does_not(preset):
    settings = read_settings({"preset": preset, "beta": None, "max_distance": None})
    for name, value in PRESETS[preset].items():
        if name != "scale_rewards":  # see test_whether_the_groups_deviation_divides
            assert settings.__dict__[name] == value
    assert read_settings({"preset": preset, "max_distance": 2, "alpha": 0.7}).max_distance == 2
    assert read_settings({"preset": preset, "alpha": 0.7}).alpha == 0.7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"alfa": 0.1},
            r"meds\.alfa is no setting, did you mean meds\.alpha\? Allowed: advantage, advantage_k, all_wrong, alpha",
        ),
        ({"meds_alpha": 0.1}, r"did you mean meds\.alpha"),
        (
            {"reencode_tokens": 100},
            r"meds\.reencode_tokens is no setting.* Allowed: advantage, advantage_k, all_wrong, alpha",
        ),
        ({"fingerprint_from": "reference"}, "fingerprints of the policy only"),
        ({"method": "dapo"}, "run verl itself"),
        ({"meds_recall": 4}, r"meds\.meds_recall is not a setting in verl: a recalled .* second forward pass; TRL's"),
        ({"preset": "best"}, r"meds\.preset must be one of paper, recommended; got 'best'"),
        ({"target": "all"}, r"meds\.target must be one of wrong, right, both; got 'all'"),
        ({"fingerprint": "strategy"}, r"meds\.fingerprint must be one of layer_logits, .*; got 'strategy'"),
        ({"alpha": -1}, r"meds\.alpha must be a finite number of at least 0; got -1"),
        ({"n_neighbors": 1.5}, r"meds\.n_neighbors must be a whole number"),
        ({"noise": None}, r"meds\.noise must be one of cluster, free; got None"),
        ({"mixed": "remember"}, r"meds\.mixed is no setting.* Allowed: advantage, advantage_k, all_wrong, alpha"),
        ({"dynamic_sampling": True}, r"verl's own setting is algorithm\.filter_groups\.enable"),
        ({"anneal": 0.5}, r"meds\.anneal must be None or two shares of training"),
        ({"capacity": 0}, r"meds\.capacity must be None or a whole number of at least 1"),
        ({"max_distance": 3}, r"meds\.max_distance must be None or 0 to 2"),
        ({"half_life": 0}, r"meds\.half_life"),
        ({"correct_above": "x"}, r"meds\.correct_above must be None or a finite number"),
        ({"fingerprint_layers": 0}, r"meds\.fingerprint_layers must be -1 \(all\) or at least 1; got 0"),
        ({"scale_rewards": "batch"}, r"meds\.scale_rewards must be null, group or none; got 'batch'"),
        ({"memory": 3}, r"meds\.memory must be None or a path"),
    ],
)
def test_bad_settings_say_what_is_allowed(given, message):
    with pytest.raises(ValueError, match=message):
        read_settings(given)


def test_a_good_configuration_gives_the_workers_their_part():
    config = composed("meds.fingerprint=pooled_logits", "meds.fingerprint_layers=3")
    settings = check_config(config)
    assert settings.fingerprint == "pooled_logits"
    assert config.actor_rollout_ref.meds == {
        "fingerprint": "pooled_logits",
        "fingerprint_layers": 3,
        "fingerprint_width": None,
        "answer_marker": "boxed",
    }


def test_a_fingerprint_of_the_text_needs_nothing_of_the_workers():
    config = composed("meds.fingerprint=answer_string", "actor_rollout_ref.actor.strategy=fsdp")
    assert check_config(config).reads_text
    assert "meds" not in config.actor_rollout_ref


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algorithm.adv_estimator=gae"], "Set algorithm.adv_estimator=grpo"),
        (["algorithm.use_kl_in_reward=True"], r"actor\.use_kl_loss=True"),
        (["algorithm.rollout_correction.bypass_mode=True"], "old-log-probability forward"),
        (["actor_rollout_ref.rollout.n=1"], "at least two completions"),
        (
            ["actor_rollout_ref.rollout.n=4", "meds.advantage=pass_at_k", "meds.advantage_k=5"],
            r"advantage_k=5 is more than actor_rollout_ref\.rollout\.n=4",
        ),
        (["actor_rollout_ref.hybrid_engine=False"], "Set it to True"),
        (["trainer.use_v1=False"], "Set trainer.use_v1=True"),
        (["actor_rollout_ref.actor.strategy=fsdp"], "strategy=fsdp2"),
        (["actor_rollout_ref.model.use_fused_kernels=True"], "use_fused_kernels=False"),
        (["model_engine=megatron"], "model_engine=dp"),
        (["algorithm.filter_groups.enable=True", "algorithm.filter_groups.metric=entropy"], "metric=acc"),
        (
            [
                "algorithm.filter_groups.enable=True",
                "+reward.reward_kwargs.overlong_buffer_cfg.enable=True",
            ],
            "overlong punishment in it",
        ),
        (
            [
                "algorithm.filter_groups.enable=True",
                "meds.all_wrong=shape",
                "trainer.v1.sampler.custom_sampler.path=x.py",
            ],
            "set meds.all_wrong=skip",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_set(overrides, message):
    with pytest.raises(ValueError, match=message):
        check_config(composed(*overrides))


def test_several_reasons_are_given_at_once():
    with pytest.raises(ValueError, match=r"(?s)adv_estimator.*use_kl_in_reward"):
        check_config(composed("algorithm.adv_estimator=rloo", "algorithm.use_kl_in_reward=True"))


def test_the_training_process_loads_the_plugin(monkeypatch):
    monkeypatch.setenv("VERL_USE_EXTERNAL_MODULES", "mine")
    config = composed()
    name_plugin(config)
    name_plugin(config)
    variables = config.ray_kwargs.ray_init.runtime_env.env_vars
    assert variables.VERL_USE_EXTERNAL_MODULES == "mine,meds_rl.engines.verl"
    assert config.trainer.v1.trainer_mode == "meds"


@pytest.mark.parametrize("mode", ["sync", "separate_async"])
def test_another_trainer_is_refused(mode):
    with pytest.raises(ValueError, match=f"trainer_mode={mode} names another trainer than meds"):
        run(composed(f"trainer.v1.trainer_mode={mode}"))


def test_a_mistyped_setting_on_the_line_is_refused_before_hydra_proposes_to_append_it(monkeypatch):
    monkeypatch.setattr("sys.argv", ["main", "meds.alfa=0.1"])
    with pytest.raises(SystemExit, match=r"meds\.alfa is no setting, did you mean meds\.alpha\?"):
        main()


def test_fingerprints_of_the_text_need_no_forward():
    text = ["meds.fingerprint=answer_string"]
    check_config(composed(*text, "algorithm.rollout_correction.bypass_mode=True"))


def test_entropies_need_the_forward():
    text = ["meds.fingerprint=answer_string", "meds.entropy_advantage=0.4"]
    with pytest.raises(ValueError, match=r"in which the entropies of .* are taken.*meds\.entropy_advantage=0"):
        check_config(composed(*text, "algorithm.rollout_correction.bypass_mode=True"))


def test_a_preset_says_whether_there_is_an_entropy_advantage():
    found = [read_settings({"preset": name}).entropy_advantage for name in ("paper", "recommended")]
    assert found == [0.0, 0.4]
    assert not read_settings({"preset": "recommended", "entropy_advantage": 0}).entropy_advantage


@pytest.mark.parametrize(
    ("settings", "divides"),
    [
        ((), True),
        (("algorithm.norm_adv_by_std_in_grpo=False",), False),  # the published preset leaves it to verl
        (("meds.preset=recommended",), False),
        (("meds.preset=recommended", "algorithm.norm_adv_by_std_in_grpo=True"), False),
        (("meds.preset=recommended", "meds.scale_rewards=group"), True),
        (("meds.scale_rewards=none",), False),
    ],
)
def test_whether_the_groups_deviation_divides(settings, divides):
    config = composed(*settings)
    check_config(config)
    check_config(config)  # the entry point does, and the trainer
    assert config.algorithm.norm_adv_by_std_in_grpo is divides


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("entropy_advantage", "yes", "at least 0; got 'yes'"),
        ("advantage", "gae", "one of trl, undivided, maxrl, pass_at_k, f_grpo; got 'gae'"),
        ("entropy_advantage", -0.1, "at least 0; got -0.1"),
    ],
)
def test_the_bounds_of_advantages(name, value, message):
    with pytest.raises(ValueError, match=rf"meds\.{name} must be .*{message}"):
        read_settings({name: value})


def test_models_that_read_more_than_text_are_refused():
    inner = SimpleNamespace()
    config = SimpleNamespace(get_text_config=lambda: inner)
    with pytest.raises(ValueError, match="reads more than text"):
        num_features(config, read_settings({}))
