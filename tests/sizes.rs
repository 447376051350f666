//! Nothing that is read costs more than in proportion to its size: neither time, nor memory, whatever is in it.

#![expect(clippy::disallowed_methods, reason = "time that a thread is at work is read from a file")]
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use oxide_operator::desired::read;
use oxide_operator::model::{Fingerprinter, SecretReference, SourceSnapshot};

/// Counts what each thread has allocated now, and had at most.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // Threads that end free what they have after their counters are gone.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: all is done by the system's allocator; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How long this thread has been at work: waiting for other programs does not count.
fn at_work() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = counted.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// What reading a text took: time, and bytes at most.
struct Cost {
    time: Duration,
    bytes: usize,
}

fn cost(text: &str) -> Cost {
    let source = SourceSnapshot::of("test", "c.yaml", text.as_bytes());
    let none = |_: &SecretReference| Err("there is none".to_owned());
    let before = NOW.get();
    MOST.set(before);
    let clock = at_work();
    let read = read(&source, &none, &Fingerprinter::derived_from(b"k"));
    let time = at_work().saturating_sub(clock);
    drop(read);
    Cost { time, bytes: usize::try_from(MOST.get() - before).unwrap_or_default() }
}

type Shape = (&'static str, fn(usize) -> String);

/// Texts that are long in one way or another, valid and not.
const SHAPES: &[Shape] = &[
    ("unknown fields in one line", |n| {
        let fields: String = (0..n).map(|it| format!(", u{it}: 1")).collect();
        format!("services: {{a: {{type: cli, executable: run{fields}}}}}\n")
    }),
    ("an error at the end of a long line", |n| {
        let services: String = (0..n).map(|it| format!("s{it}: {{type: cli, executable: run}}, ")).collect();
        format!("{{services: {{{services}}}, servces: {{a: 1}}}}\n")
    }),
    ("services", |n| {
        let service = |it| format!("  s{it}: {{type: cli, executable: run, default_model: vendor/m{it}}}\n");
        "services:\n".to_owned() + &(0..n).map(service).collect::<String>()
    }),
    ("services as the orchestrator writes them", |n| {
        let service = |it| {
            format!(
                "  s{it}:\n    type: http\n    enabled: true\n    base_url: http://h{it}\n    models:\n    - a{it}\n    - b{it}\n"
            )
        };
        "services:\n".to_owned() + &(0..n).map(service).collect::<String>()
    }),
    ("a long list", |n| {
        "services:\n  a:\n    type: cli\n    executable: x\n    models:\n".to_owned()
            + &"    - model\n".repeat(n)
    }),
    ("a list of letters", |n| {
        format!("services: {{a: {{type: cli, executable: x, models: [{}b]}}}}\n", "a,".repeat(n))
    }),
    ("a field many times", |n| "services:\n  a:\n".to_owned() + &"    enabled: true\n".repeat(n)),
    ("unknown services", |n| {
        let rules: String = (0..n).map(|it| format!("  t{it}: {{primary: nope{it}}}\n")).collect();
        "services:\n  a: {type: cli, executable: run}\nrouting_rules:\n".to_owned() + &rules
    }),
    ("a merge of many keys", |n| {
        let keys = |name: &str| (0..n).map(|it| format!("  {name}{it}: 1\n")).collect::<String>();
        format!("x-b: &b\n{}x-c:\n  <<: *b\n{}", keys("k"), keys("o"))
    }),
    ("aliases of a long text", |n| format!("x-a: &a '{}'\nx-l:\n{}", "x".repeat(8 * n), "- *a\n".repeat(n))),
    ("nested anchors", |n| {
        let outer: String = (0..60).map(|it| format!("x-{it}: &b{} [*b{it}]\n", it + 1)).collect();
        format!("x-a: &b0 [{}1]\n{outer}", "1, ".repeat(n))
    }),
    ("anchors within anchors", |n| {
        let depth = 150;
        let open: String = (0..depth).map(|it| format!("&d{it} [")).collect();
        format!("x-a: {open}{}1{}\n", "1, ".repeat(n), "]".repeat(depth))
    }),
    ("a carried section", |n| {
        "custom:\n".to_owned() + &(0..n).map(|it| format!("  k{it}: v\n")).collect::<String>()
    }),
    ("carried sections in one line", |n| {
        let sections: String = (0..n).map(|it| format!("x-{it}: 1, ")).collect();
        format!("{{{sections}services: {{a: {{type: cli, executable: run}}}}}}\n")
    }),
    ("unknown sections", |n| (0..n).map(|it| format!("unknown{it}: 1\n")).collect()),
    ("colons in a text", |n| format!("custom:\n  a: \"{}\"\n  b: 1\n", "a:".repeat(n))),
    ("blanks in a text", |n| format!("x-a: 'api_key{}'\nx-b: 1\n", " ".repeat(8 * n))),
    ("braces that never close", |n| format!("custom: '{}'\nservces: 1\n", "${ ".repeat(n))),
    ("quotes that never close", |n| "api_key: \"\n".to_owned() + &"a \\\" b\n".repeat(n)),
    ("comments between sections", |n| "# c\n".repeat(n) + "x-a: 1\n" + &"# c\n".repeat(n) + "x-b: 1\n"),
    ("indentation", |n| {
        let lines = (0..n.isqrt()).map(|it| format!("{}a:\n", " ".repeat(it)));
        lines.collect::<String>() + "api_key: [\n"
    }),
];

/// Eight times the input takes eight times as long, and sixty-four times where work grows with its square: the bound
/// between the two is wide, and the lesser of two runs counts.
#[test]
fn no_text_takes_longer_to_read_than_it_is_long() {
    for (name, shape) in SHAPES {
        let least = |n| (0..2).map(|_| cost(&shape(n)).time).min().unwrap_or_default();
        let (short, long) = (least(400), least(3_200));
        assert!(
            long < short * 24 + Duration::from_millis(20),
            "{name}: {short:?} for one, {long:?} for eight"
        );
    }
}

/// An object, the findings and what is shown of them may take so much of any text; a source of 2 MB is larger than
/// what Kubernetes keeps.
#[test]
fn no_text_takes_more_memory_than_eight_times_its_size() {
    for (name, shape) in SHAPES {
        let per_item = shape(2_000).len() / 2_000;
        let text = shape((2 << 20) / per_item.max(1));
        let bytes = cost(&text).bytes;
        assert!(bytes < 8 * text.len(), "{name}: {bytes} bytes for a text of {}", text.len());
    }
}
