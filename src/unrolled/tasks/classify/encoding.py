"""From texts, series and labels to numbers; saved with a run and independent of its files."""
# Interface:
# class Labels: names: tuple[str, ...]; counts: tuple[int, ...]; several: bool; len(); numbers(labels) -> int64
# class TextEncoder: size: int (tokens, unknown among them); encode(text) -> unsigned [T]
# class SeriesEncoder: channels: int; encode(series [T, C]) -> float32 [T, C], scaled
# @dataclass class Encoding:
#     inputs: TextEncoder | SeriesEncoder; labels: Labels
#     kind -> "text" | "series"
#     encode(item: Item) -> array;     batch(items: Sequence[Item]) -> (inputs, lengths)
#     save(path) / load(path)          the file is FOLDER/encoding.json
# reading.py: Item(text: str | None, series: array | None, labels: tuple[str, ...], place: str)
# reading.py: read_items(files, options: DataOptions, *, labels: bool = True, broken: Callable[[str], None] | None = None) -> Iterator[Item]
#     labels=False: labels are given where the file has them, () elsewhere (prediction)
#     broken: called with one line for each row left out; without it the first raises UserError
# inspection.py: inspect_data(options: DataOptions, *, minutes: Callable[[int, float], float] | None = None) -> Inspection
