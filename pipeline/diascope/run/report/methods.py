"""The methods paragraph of a run, ready for a paper, with what to cite."""

from collections.abc import Sequence
from dataclasses import dataclass

from diascope.findings import BundleStamp
from diascope.run.record import SHOWN_DIGITS
from diascope.run.report.summary import RunSummary

# What the results are computed with; each asks to be cited.
_SOFTWARE = {
    "monai": (
        "MONAI",
        "Cardoso MJ et al. MONAI: An open-source framework for deep learning in healthcare. arXiv:2211.02701, 2022.",
    ),
    "torch": (
        "PyTorch",
        "Paszke A et al. PyTorch: An imperative style, high-performance deep learning library. "
        "Advances in Neural Information Processing Systems 32, 2019.",
    ),
    "scikit-image": (
        "scikit-image",
        "van der Walt S et al. scikit-image: image processing in Python. PeerJ 2:e453, 2014.",
    ),
}


@dataclass(frozen=True, slots=True)
class Methods:
    """Text for a paper.

    Attributes:
        sentences: The paragraph, sentence by sentence.
        references: What it cites, in the order of its numbers from 1.
    """

    sentences: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def text(self) -> str:
        """The paragraph, with the references below it."""
        lines = [" ".join(self.sentences)]
        lines += [f"[{number}] {reference}" for number, reference in enumerate(self.references, start=1)]
        return "\n".join(lines)


def methods_of(summary: RunSummary) -> Methods:
    """Write down how the results of a run were made."""
    references: list[str] = []
    record = summary.record
    sentences = [
        f"Images were processed with diascope {record.diascope} (configuration {record.config_name}, "
        f"settings SHA-256 {record.config_sha256[:SHOWN_DIGITS]}).",
        *_other_settings(summary),
        f"Of {_count(len(summary.rows), 'study', 'studies')}, {summary.count('done')} gave results, "
        f"{summary.count('nothing_to_do')} held no image that a network was made for, "
        f"and {summary.count('failed')} failed.",
    ]
    sentences += [_network(bundle, summary, references) for bundle in record.bundles]
    tools = [
        f"{name} {record.versions[package]}{_cite([reference], references)}"
        for package, (name, reference) in _SOFTWARE.items()
        if package in record.versions
    ]
    ran_on = f"The networks ran on {record.device}" if record.device else "The networks ran"
    sentences.append(f"{ran_on}, with Python {record.versions.get('python', 'unknown')}, {_listed(tools)}.")
    if summary.labels:
        sentences.append(
            "Label maps were brought back to the voxels of the source images; volumes are the number of voxels "
            "times the volume of a voxel where the header says where the voxels lie, and numbers of voxels elsewhere; "
            "intensities are means and standard deviations over the voxels of a label in the source image."
        )
    return Methods(tuple(sentences), tuple(references))


def _other_settings(summary: RunSummary) -> list[str]:
    """Say which results earlier runs in the folder made with other settings."""
    if not (others := summary.other_settings):
        return []
    named = _listed([f"{digits} ({_count(n, 'study', 'studies')})" for digits, n in others.items()])
    return [f"Earlier runs made part of these results with other settings, SHA-256 {named}; case.json names each."]


def _network(bundle: BundleStamp, summary: RunSummary, references: list[str]) -> str:
    cited = _cite(summary.citations.get(bundle.name, ()), references)
    research = ", for research use only" if bundle.research_only else ""
    return (
        f"The network {bundle.name} version {bundle.version} (SHA-256 {bundle.sha256[:SHOWN_DIGITS]}; "
        f"licence {bundle.licence}{research}) was applied{cited}."
    )


def _cite(wanted: Sequence[str], references: list[str]) -> str:
    for reference in wanted:
        if reference not in references:
            references.append(reference)
    numbers = sorted(references.index(reference) + 1 for reference in wanted)
    return f" [{', '.join(str(number) for number in numbers)}]" if numbers else ""


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts) or "no further library"
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
