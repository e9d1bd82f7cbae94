//! Properties over all formats; the vectors run in `cli::hash`, through the code that the command uses.
use super::*;
