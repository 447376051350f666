//! What `fuzz/` reaches of the parts that are nobody's interface. No release holds it: it is built with debug
//! assertions only.

pub use crate::cli::fuzzing::{operator_yaml, saved_plan};
pub use crate::web::fuzzing::{Answer, Page};
