"""Reads samples of a pprof file with their labels; nothing of it is hearth's code. Source of the field numbers: profile.proto of pprof."""
import gzip


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, value) of a message: an int, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        else:
            raise ValueError(f"wire type {key & 7}")
        yield key >> 3, value


def packed(value):
    if isinstance(value, int):
        return [value]
    numbers, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        numbers.append(number)
    return numbers


def samples(path):
    """[(labels, values)] with labels as a dict: strings as str, numbers as int."""
    with gzip.open(path) as file:
        message = list(fields(file.read()))
    strings = [value.decode() for number, value in message if number == 6]
    result = []
    for number, value in message:
        if number != 2:
            continue
        labels, values = {}, []
        for inner, content in fields(value):
            if inner == 2:
                values += packed(content)
            elif inner == 3:
                label = dict(fields(content))
                key = strings[label[1]]
                assert key not in labels, (key, labels)
                labels[key] = strings[label[2]] if 2 in label else label.get(3, 0)
        result.append((labels, values))
    return result


def times(path):
    """Begin and length of a window in seconds: fields 9 and 10. `go tool pprof` shows four characters of the length: 56.02ms and 56.02s are both "56.0"."""
    with gzip.open(path) as file:
        found = dict(fields(file.read()))
    return found[9] / 1e9, found[10] / 1e9
