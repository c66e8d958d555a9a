"""Run by test_distributed.py under torchrun: trains with two processes and saves each one's memory."""

import sys
from pathlib import Path

from datasets import Dataset

from meds_rl.engines.trl import MEDSConfig, MEDSTrainer
from meds_rl.fingerprint import AnswerPosition


def mostly_wrong(completion_ids, **_):
    return [float(sum(ids) % 8 == 0) for ids in completion_ids]


def third_token(completion_ids, _tokenizer):
    return AnswerPosition(2, completion_ids[3]) if len(completion_ids) > 3 else None


def main(model_path: str, output: str) -> None:
    args = MEDSConfig(
        output,
        per_device_train_batch_size=6,  # 12 rows, 3 groups of 4: the second group lies across both processes
        num_generations=4,
        max_completion_length=12,
        overlong_buffer=0,
        meds_all_wrong="shape",
        learning_rate=1e-2,
        max_steps=6,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        seed=7,
    )
    prompts = ["abc", "bcd", "cde", "def", "efg", "fgh", "ghi", "hij", "ijk"]
    dataset = Dataset.from_dict({"prompt": prompts, "prompt_id": [f"p{i}" for i in range(len(prompts))]})
    trainer = MEDSTrainer(model_path, mostly_wrong, args, dataset, answer_finder=third_token)
    trainer.train()
    rank = trainer.accelerator.process_index
    trainer.memory.save(Path(output) / f"memory-{rank}.safetensors")
    trainer.accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
