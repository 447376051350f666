//! A panic is a mistake of ours. In a request it is that request's; anywhere else it ends the process, so that whoever
//! started it starts it again: an agent of which a part is gone would look alive.

use std::panic::PanicHookInfo;

/// From now on every panic is a line of the log, and ends the process unless a request is answered with it.
pub(super) fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        let (what, place) = (what(panic), panic.location().map(ToString::to_string).unwrap_or_default());
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        if crate::web::is_caught() {
            tracing::error!(place, thread, "a mistake in this program: a request is not answered: {what}");
            return;
        }
        tracing::error!(
            place,
            thread,
            "a mistake in this program: it ends, and has written nothing, or all it says: {what}"
        );
        std::process::exit(i32::from(EXIT));
    }));
}

/// How the process ends, as after any error.
const EXIT: u8 = crate::cli::Exit::Error as u8;

fn what<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    let text = panic.payload();
    text.downcast_ref::<String>()
        .map(String::as_str)
        .or(text.downcast_ref::<&str>().copied())
        .unwrap_or("panic")
}
