"""What runs inside the sandbox: a program under test, or the tests that call it, each in a sandbox of its own.

`sandbox` starts this file as a script, with the standard library only. A frame is 4 bytes with the length, then the
content. The first frame out says that the interpreter is ready; the first frame in is the work.

    script    the program reads file descriptor 0 and writes 1; the kind of its exception goes to 2
    program   runs the program, then answers calls:    in (name, arguments, keywords), out "v" value or "e" kind
    tests     runs the tests, and calls the program:   out "c" call, in "p" answer or "h" reason; out "r" result

Only plain values travel between program and tests, in the form of `encode`. The tests get no object of the
program.
"""

from __future__ import annotations

import builtins
import os
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

MAX_BYTES = 1 << 20
"""Longest frame: one call's arguments, or one returned value."""

MAX_DEPTH = 100
SHOWN_CHARACTERS = 40

MEMORY_BYTES = 1 << 30
FILE_BYTES = 16 << 20
OPEN_FILES = 64


# ---- Plain values as bytes. marshal and pickle would trust what they read.


class NotPlainError(Exception):
    """A value that cannot be sent, or bytes that encode none; the message is the name of its type, or what is wrong."""


def encode(value: Any) -> bytes:
    """None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset and dict as bytes.

    An object of a subclass is sent as its base. NotPlainError for any other value, and for more than `MAX_BYTES`.

    >>> decode(encode([1, -2.5, ("a", None), {"k": {3}}, float("inf"), True]))
    [1, -2.5, ('a', None), {'k': {3}}, inf, True]
    """
    parts: list[bytes] = []
    _write(value, parts.append, 0)
    content = b"".join(parts)
    if len(content) > MAX_BYTES:
        raise NotPlainError("a value of more than 1 MiB")
    return content


def _write(value: Any, put: Callable[[bytes], None], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise NotPlainError("a value that is nested too deeply")
    if value is None or value is True or value is False:
        put({None: b"N", True: b"T", False: b"F"}[value])
    elif isinstance(value, int):
        _put(b"i", int(value).to_bytes(value.bit_length() // 8 + 1, "big", signed=True), put)
    elif isinstance(value, float):
        _put(b"f", float(value).hex().encode(), put)
    elif isinstance(value, complex):
        _put(b"c", f"{value.real.hex()} {value.imag.hex()}".encode(), put)
    elif isinstance(value, str):
        _put(b"s", str.encode(value, "utf-8", "surrogatepass"), put)
    elif isinstance(value, bytes):
        _put(b"b", bytes(value), put)
    elif isinstance(value, dict):
        _put_all(b"d", [part for pair in dict.items(value) for part in pair], put, depth)
    else:
        for tag, kind in _COLLECTIONS.items():
            if isinstance(value, kind):
                return _put_all(tag, list(value), put, depth)
        raise NotPlainError(type(value).__name__)
    return None


_COLLECTIONS: dict[bytes, type[Any]] = {b"l": list, b"t": tuple, b"S": set, b"z": frozenset}


def _put(tag: bytes, content: bytes, put: Callable[[bytes], None]) -> None:
    put(tag + len(content).to_bytes(4, "big") + content)


def _put_all(tag: bytes, items: list[Any], put: Callable[[bytes], None], depth: int) -> None:
    put(tag + len(items).to_bytes(4, "big"))
    for item in items:
        _write(item, put, depth + 1)


def decode(content: bytes) -> Any:
    """The value of `encode`'s bytes; NotPlainError for any other bytes."""
    try:
        value, end = _read(content, 0, 0)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise NotPlainError("no value") from error
    if end != len(content):
        raise NotPlainError("no value")
    return value


def _read(content: bytes, at: int, depth: int) -> tuple[Any, int]:
    tag, at = content[at : at + 1], at + 1
    if tag in b"NTF" and tag:
        return {b"N": None, b"T": True, b"F": False}[tag], at
    size, at = int.from_bytes(content[at : at + 4], "big"), at + 4
    if depth > MAX_DEPTH or size > len(content) - at:
        raise ValueError(size)
    if tag in _COLLECTIONS or tag == b"d":
        items = []
        for _ in range(size):
            item, at = _read(content, at, depth + 1)
            items.append(item)
        if tag == b"d":
            return dict(zip(items[::2], items[1::2], strict=True)), at
        return _COLLECTIONS[tag](items), at
    return _SCALARS[tag](content[at : at + size]), at + size


_SCALARS: dict[bytes, Callable[[bytes], Any]] = {
    b"i": lambda text: int.from_bytes(text, "big", signed=True),
    b"f": lambda text: float.fromhex(text.decode()),
    b"c": lambda text: complex(*(float.fromhex(part) for part in text.decode().split())),
    b"s": lambda text: text.decode("utf-8", "surrogatepass"),
    b"b": bytes,
}


# ---- Frames.


class Channel:
    """Frames over two file descriptors that a program's own input and output do not use."""

    def __init__(self, reads: int, writes: int) -> None:
        self._reads, self._writes = reads, writes

    def receive(self) -> bytes:
        """The next frame; the process ends at the end of the input."""
        return self._exactly(int.from_bytes(self._exactly(4), "big"))

    def send(self, content: bytes) -> None:
        """Write a frame."""
        content = len(content).to_bytes(4, "big") + content
        while content:
            content = content[os.write(self._writes, content) :]

    def _exactly(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            more = os.read(self._reads, size - len(content))
            if not more:
                os._exit(0)
            content += more
        return content


def kind_of(error: BaseException) -> str:
    """The name of the exception's nearest built-in class: "ValueError" for json's JSONDecodeError."""
    return next(one.__name__ for one in type(error).__mro__ if vars(builtins).get(one.__name__) is one)


def _module(name: str) -> dict[str, Any]:
    """The names of a new module; dataclasses and pickle look a class's module up."""
    sys.modules[name] = type(sys)(name)
    return vars(sys.modules[name])


def _run(parts: list[str], names: dict[str, Any]) -> None:
    for part in parts:
        exec(compile(part, "<program>", "exec", dont_inherit=True), names)


# ---- A program that reads and writes.


def run_script(channel: Channel, kinds: int) -> None:
    """Run the program with the rest of the input; it ends with the interpreter, as any script does."""
    parts = decode(channel.receive())
    try:
        _run(parts, _module("__main__"))
    except SystemExit:
        raise
    except BaseException as error:
        os.write(kinds, kind_of(error).encode())
        sys.exit(1)


# ---- A program whose functions are called.


def serve_program(channel: Channel) -> None:
    """Run the program, then answer calls."""
    parts, names = decode(channel.receive()), _module("program")
    channel.send(_answer(lambda: _run(parts, names)))
    while True:
        name, arguments, keywords = decode(channel.receive())
        channel.send(_answer(lambda: _called(_find(name, names), arguments, keywords)))  # noqa: B023  # called at once


def _answer(call: Callable[[], Any]) -> bytes:
    try:
        return b"v" + encode(call())
    except NotPlainError as error:
        return b"k" + str(error)[:SHOWN_CHARACTERS].encode("utf-8", "replace")
    except BaseException as error:
        return b"e" + kind_of(error).encode()


def _called(function: Callable[..., Any], arguments: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """The value; with None also the arguments, as functions without a value change them (`x.sort()`)."""
    value = function(*arguments, **keywords)
    changed = [*arguments, *keywords.values()]
    return value, changed if value is None and _is_plain(changed) else None


def _is_plain(value: Any) -> bool:
    try:
        encode(value)
    except NotPlainError:
        return False
    return True


def _find(path: str, names: dict[str, Any]) -> Callable[..., Any]:
    """A function by its name; "Solution.f" is the method of a new Solution."""
    owner, _, name = path.rpartition(".")
    if not owner and name not in names:
        raise NameError(name)
    found: Callable[..., Any] = getattr(names[owner](), name) if owner else names[name]
    return found


# ---- Tests.


class FailedError(BaseException):
    """A call that cannot be answered; the test fails, even one that catches it."""


class Calls:
    """The functions of the program, as the tests see them.

    Attributes:
        returned: the last value that a call returned.
        raised: the last exception of a call.
        failed: the first call that could not be answered.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.start_test()

    def start_test(self) -> None:
        """Forget the calls of the test before."""
        self.returned: Any = NotImplemented
        self.raised: BaseException | None = None
        self.failed: FailedError | None = None

    def function(self, name: str) -> Callable[..., Any]:
        """The program's function of this name. It gets copies, which are copied back only if it returns None.

        Else a program could make a wrong value right: by emptying a list that is then compared with its value.
        """

        def call(*arguments: Any, **keywords: Any) -> Any:
            try:
                self.returned = self._call(name, arguments, keywords)
            except FailedError as error:
                self.failed = self.failed or error
                raise
            except Exception as error:
                self.raised = error
                raise
            return self.returned

        return call

    def _call(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        try:
            self._channel.send(b"c" + encode((name, arguments, keywords)))
        except NotPlainError as error:
            raise FailedError(f"cannot pass {error}") from None
        value, changed = self._value(self._channel.receive())
        for argument, new in zip([*arguments, *keywords.values()], changed or (), strict=False):
            _replace(argument, new)
        return value

    def _value(self, reply: bytes) -> tuple[Any, Any]:
        source, kind, content = reply[:1], reply[1:2], reply[2:]
        if source == b"h":  # from outside: the program was ended
            raise FailedError(reply[1:].decode())
        if kind == b"v":
            try:
                value, changed = decode(content)
            except (NotPlainError, TypeError, ValueError):
                raise FailedError("exit") from None  # the program wrote into the channel
            return value, changed if value is None and isinstance(changed, list) else None
        text = "".join(character for character in content.decode("utf-8", "replace") if character.isprintable())
        if kind == b"e":
            raise _raised(text)
        raise FailedError(f"returned {text[:SHOWN_CHARACTERS]}")


def _replace(value: Any, new: Any) -> None:
    if type(value) is not type(new):
        return
    if isinstance(value, list):
        value[:] = new
    elif isinstance(value, dict | set):
        value.clear()
        value.update(new)


def _raised(name: str) -> BaseException:
    """The exception of a call, for the test, which may expect it; the name comes from the program."""
    kind = vars(builtins).get(name)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return FailedError("Exception")
    # The end of an iteration would end one of the test's: all(map(f, ...)).
    if not issubclass(kind, Exception) or issubclass(kind, MemoryError | StopIteration | StopAsyncIteration):
        return FailedError({"MemoryError": "memory", "SystemExit": "exit"}.get(name, name))
    try:
        return kind()
    except TypeError:  # such as UnicodeDecodeError, which needs arguments
        return next(one for one in kind.__mro__ if one in (ValueError, Exception))()


def run_tests(channel: Channel) -> None:
    """Run the tests, one after the other in one namespace; a result is "1" or "0" and what happened."""
    prelude, functions, all_tests = decode(channel.receive())
    calls, names = Calls(channel), _module("tests")
    problem = _problem_of(lambda: _run([prelude], names))
    names.update({name: calls.function(path) for name, path in functions.items()})
    for test in all_tests:
        calls.start_test()
        outcome = f"tests: {problem}" if problem else _result(test, names, calls)
        channel.send(b"r" + (b"0" if outcome else b"1") + (outcome or "ok").encode("utf-8", "backslashreplace"))


def _problem_of(call: Callable[[], None]) -> str | None:
    try:
        call()
    except Exception as error:
        return kind_of(error)
    return None


def _result(test: str, names: dict[str, Any], calls: Calls) -> str | None:
    """None for a test that passes, else what happened: "got ..." for a wrong value."""
    outcome = None
    try:
        _run([test], names)
    except BaseException as error:
        is_wrong = isinstance(error, AssertionError) and error is not calls.raised
        outcome = f"got {_shown(calls.returned)}" if is_wrong else kind_of(error).replace("MemoryError", "memory")
    return outcome if calls.failed is None else str(calls.failed)


def _shown(value: Any) -> str:
    """A short form of a value that does not depend on the order of sets."""
    try:
        text = _form(value)
    except (ValueError, RecursionError, MemoryError):  # an int of too many digits
        text = type(value).__name__
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _form(value: Any) -> str:
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_form, value)))}}}" if value else "set()"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_form(key)}: {_form(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_form, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_form, value))}{',' * (len(value) == 1)})"
    return repr(value)


# ---- The process.


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def main(kind: str) -> NoReturn:
    """Set the limits, move the channel away from the program's own files, and work."""
    _limit()
    del sys.argv[1:]  # many programs read a file if there is an argument
    sys.path[:] = [folder for folder in sys.path if folder != "/"]
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # `site`, which makes them, is not loaded
    writes = os.dup(1)
    Channel(0, writes).send(b"ready")
    nowhere = os.open(os.devnull, os.O_RDWR)
    if kind == "script":
        kinds = os.dup(2)
        os.close(writes)
        os.dup2(nowhere, 2)
        run_script(Channel(0, 1), kinds)
        sys.exit(0)
    reads = os.dup(0)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    {"program": serve_program, "tests": run_tests}[kind](Channel(reads, writes))
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
