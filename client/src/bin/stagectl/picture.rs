//! The picture of a guest's memory, where a command can draw one: `--map` and `--svg FILE`.
//!
//! **Invariant:** colours go to a terminal only, and not where NO_COLOR is set; no file is overwritten.

use std::{
    env,
    fs::{self, File},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use stagepages_client::picture::{Drawing, Style, svg, text};

use crate::{failure::Failure, output::Output};

/// Where nobody says how wide a line may be.
const WIDTH: usize = 100;

/// The flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Picture {
    /// Draw the memory: a letter for each piece of it, by page type.
    #[arg(long)]
    map: bool,
    /// Draw the memory into this file, as SVG. It must not exist yet.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What was drawn.
#[derive(Debug, Default)]
pub(crate) struct Drawn {
    /// For a terminal.
    pub(crate) map: Option<String>,
    /// The file.
    pub(crate) svg: Option<String>,
}

impl Picture {
    /// Whether there is anything to draw. To be asked before the first call: a map is no JSON.
    pub(crate) fn is_wanted(&self, output: Output) -> Result<bool, Failure> {
        if self.map && output == Output::Json {
            return Err(Failure::usage(
                "--map draws for people, not as JSON",
                "leave out --map or --output json; --svg goes with both",
            ));
        }
        Ok(self.map || self.svg.is_some())
    }

    /// Draws what is wanted.
    pub(crate) fn draw(&self, drawing: &Drawing) -> Result<Drawn, Failure> {
        if let Some(path) = &self.svg {
            save(path, &svg(drawing))?;
        }
        Ok(Drawn {
            map: self.map.then(|| text(drawing, style())),
            svg: self.svg.as_ref().map(|path| path.display().to_string()),
        })
    }
}

fn save(path: &Path, picture: &str) -> Result<(), Failure> {
    File::create_new(path)
        .and_then(|mut file| {
            // A file cut short is no picture.
            file.write_all(picture.as_bytes())
                .inspect_err(|_| drop(fs::remove_file(path)))
        })
        .map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::AlreadyExists {
                "nothing is overwritten: name a file that does not exist yet"
            } else {
                "name a file in a directory that this user can write to"
            };
            Failure::new(format!("cannot write {}: {error}", path.display()), hint)
        })
}

fn style() -> Style {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return Style {
            width: WIDTH,
            colour: false,
        };
    }
    let size = rustix::termios::tcgetwinsize(&stdout);
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    Style {
        // 0 from a terminal that does not know.
        width: if columns == 0 { WIDTH } else { columns },
        colour: !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|it| it != "dumb"),
    }
}

/// As <https://no-color.org> has it: empty is as good as unset.
fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}
