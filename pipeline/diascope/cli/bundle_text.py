"""What `diascope models` prints."""

from collections.abc import Sequence

from diascope.bundles.find import BundleInfo


def bundle_table(bundles: Sequence[BundleInfo]) -> str:
    """List networks: name, version, task, licence."""
    rows = [(one.name, one.version, one.block.task, one.block.licence) for one in bundles]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {version:<{widths[1]}}  {task:<{widths[2]}}  {licence}"
        for name, version, task, licence in rows
    )


def bundle_text(bundle: BundleInfo) -> str:
    """Say what a network is for, what it draws, and what may be done with it."""
    block = bundle.block
    lines = [
        f"{bundle.name} {bundle.version}",
        bundle.description,
        f"task:     {block.task}",
        f"needs:    {block.needs}" + (f", modality {', '.join(block.modality)}" if block.modality else ""),
        f"labels:   {', '.join(f'{label.value} {label.name}' for label in bundle.labels)}",
        f"licence:  {block.licence}" + (" (research only)" if block.research_only else ""),
        f"sha256:   {bundle.sha256}",
    ]
    return "\n".join([*lines, *(f"cite:     {citation}" for citation in block.citations)])
