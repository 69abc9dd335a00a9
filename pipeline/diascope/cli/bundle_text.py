"""What `diascope models` prints."""

from collections.abc import Sequence

import yaml

from diascope.bundles.find import BundleInfo
from diascope.geometry import FieldOfView
from diascope.image_facts import AgeRange
from diascope.io.select_rule import SelectRule

LIMITS_HEADING = "## What it cannot do"
"""Of the section of a model card that `models info` repeats."""


def bundle_table(bundles: Sequence[BundleInfo]) -> str:
    """List networks under a header: name, version, task, licence."""
    rows = [("NAME", "VERSION", "TASK", "LICENCE")]
    rows += [(one.name, one.version, one.block.task, one.block.licence) for one in bundles]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
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
    if limits := limits_text(block.field_of_view):
        lines.append(f"shows:    {limits}")
    if (rule := select_text(block.own_select)) and block.select is not None:
        lines.append(f"takes:    {rule}, unless a config says otherwise")
    if ages := ages_text(block.ages):
        lines.append(f"ages:     {ages}")
    lines += [f"cite:     {citation}" for citation in block.citations]
    if bundle.card is not None:
        lines += ["what it cannot do:", *(f"- {one}" for one in card_limits(bundle.card.read_text(encoding="utf-8")))]
        lines.append(f"card:     {bundle.card}")
    return "\n".join([*lines, *stranger_lines([bundle])])


def select_text(rule: SelectRule) -> str:
    """Say which images a network asks for, as a yaml spells it on one line."""
    return yaml.safe_dump(
        rule.model_dump(mode="json", exclude_unset=True), default_flow_style=True, sort_keys=False, width=1_000_000
    ).strip("{}\n")


def limits_text(view: FieldOfView) -> str:
    """Say what an image must show for a network; empty where it may show anything."""
    parts = [
        f"{words} {' x '.join(f'{side:g}' for side in extent_mm)} mm"
        for words, extent_mm in (("at least", view.least_extent_mm), ("at most", view.most_extent_mm))
        if extent_mm
    ]
    if parts:
        parts[-1] += " (left to right, back to front, foot to head)"
    parts += [
        f"voxels of {words} {side_mm:g} mm"
        for words, side_mm in (("at least", view.least_voxel_mm), ("at most", view.most_voxel_mm))
        if side_mm
    ]
    return ", ".join(parts)


def ages_text(ages: AgeRange) -> str:
    """Say which ages a network was shown; empty where it does not say."""
    ends = ((ages.least_years, "from {}"), (ages.most_years, "to {}"))
    parts = [words.format(years) for years, words in ends if years is not None]
    return " ".join([*parts, "years"]) if parts else ""


def card_limits(card: str) -> tuple[str, ...]:
    """Take from a model card what the network cannot do; empty where the card has no such section.

    Args:
        card: In markdown.
    """
    _, _, below = card.partition(f"\n{LIMITS_HEADING}\n")
    section = below.partition("\n## ")[0]
    points = (" ".join(point.split()) for point in f"\n{section.strip()}".split("\n- "))
    return tuple(point for point in points if point)


def stranger_lines(bundles: Sequence[BundleInfo]) -> list[str]:
    """Warn of networks that do not come with diascope."""
    return [
        f"warning: {one.name} does not come with diascope. A bundle is a program: run it only if you trust who made"
        " it. The bundles.lock beside it says that its files are unchanged, not that they are harmless"
        for one in bundles
        if not one.is_shipped
    ]
