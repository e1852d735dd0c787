"""The group that all commands hang on, and its help, by what a user wants to do."""

import click

from geo_assets.cli.archives import archives, doctor
from geo_assets.cli.composites import composite, monthly
from geo_assets.cli.export import crop
from geo_assets.cli.looking import impact, plan, region, status, verify
from geo_assets.cli.masks import mask
from geo_assets.cli.mosaics import mosaic
from geo_assets.cli.reports import report
from geo_assets.cli.running import backfill, demo, dev, orphans

_SECTIONS = {
    "A bounding box, at once": (composite, monthly),
    "A scene, at once": (mask,),
    "GeoTIFFs, at once": (mosaic,),
    "A region, month by month": (demo, region, plan, backfill, status, report, verify, impact, crop),
    "What there is to read": (archives, doctor),
    "Dagster": (dev, orphans),
}


class _Door(click.Group):
    """A group whose help shows its commands in sections."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [str(command.name) for commands in _SECTIONS.values() for command in commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.list_commands(ctx))
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{command.name:<{width}}", _sentence(command)) for command in commands])


def _sentence(command: click.Command) -> str:
    """The first sentence of a command's help."""
    return command.get_short_help_str(limit=200)


@click.group(cls=_Door, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="geo_assets")
def main() -> None:
    """Monthly, cloud-free, seamless satellite mosaics and training statistics.

    REGION is a region file; without one GEO_ASSETS_REGION names it, and else the bundled demo region is used.
    """


for _commands in _SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)
