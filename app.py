"""A local page for trying trained networks on pictures: `python app.py`. The command line."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fer.console.terminal import prepare_streams
from fer.machine.extras import need_extra
from fer.settings.settings import PROJECT, load_settings
from utils import InputError, log, start_logging

LARGEST_FILE = "20mb"
DEMO = PROJECT / "saidas" / "demo"


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="app.py", description=__doc__)
    parser.add_argument("--output", type=Path, metavar="DIR", help="where runs lie (OUTPUT_DIR of config.py)")
    parser.add_argument("--demo", type=Path, default=DEMO, metavar="DIR", help="where the demo's runs lie")
    parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1: this computer alone; 0.0.0.0: everyone")
    parser.add_argument("--port", type=int, default=7860)
    return parser.parse_args(argv)


def serve(arguments: argparse.Namespace, files: Path) -> None:
    """Serve the page until Ctrl-C; `files`: where gradio may put what is uploaded."""
    os.environ["GRADIO_TEMP_DIR"] = str(files)  # read by gradio when it is imported
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    from fer.inference.page import build

    page = build(arguments.output or load_settings().output_path, arguments.demo)
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])  # none are fetched
    page.launch(
        server_name=arguments.host, server_port=arguments.port, share=False, max_file_size=LARGEST_FILE, theme=theme,
        footer_links=[], run_history=False, ssr_mode=False, mcp_server=False,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 ended by Ctrl-C, 2 something to mend)."""
    prepare_streams()
    arguments = parse_arguments(argv)
    start_logging()
    try:
        need_extra("app", "gradio")
        with tempfile.TemporaryDirectory(prefix="fer_page_") as files:
            serve(arguments, Path(files))
        return 0
    except InputError as error:
        log.error("To mend:\n- %s", "\n- ".join(error.problems))
    except OSError as error:
        log.error("The page cannot be served at %s:%d: %s. Try another --port.", arguments.host, arguments.port, error)
    return 2


if __name__ == "__main__":
    sys.exit(main())
