//! What is kept of what piles up, backups and revisions: by time, as restic and Litestream keep it.
//!
//! Everything of the last hour, then one of each hour, of each day, of each week. What somebody asked for and the first
//! of all stay whatever comes, and so does the newest. Where that is too much, the densest goes first: a burst thins
//! out itself and nothing older.

use std::collections::BTreeSet;
use std::time::Duration;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Everything that is younger than this.
    pub all_for: Duration,
    /// The newest of each of so many hours that have one.
    pub hourly: usize,
    /// The newest of each of so many days that have one. Days are those of UTC.
    pub daily: usize,
    /// The newest of each of so many weeks that have one. Weeks begin on Monday.
    pub weekly: usize,
    /// At most so many in all.
    pub count: usize,
    /// At most so many bytes in all.
    pub bytes: u64,
}

impl Retention {
    /// For backups: a day of hours, a month of days, a year of weeks; 500 in all, in 2 GiB.
    pub const BACKUPS: Self = Self {
        all_for: Duration::from_hours(1),
        hourly: 24,
        daily: 31,
        weekly: 53,
        count: 500,
        bytes: 2 << 30,
    };

    /// For revisions of either kind, by people and by programs. They lie in the database, and in every backup of it.
    pub const REVISIONS: Self = Self { count: 200, bytes: u64::MAX, ..Self::BACKUPS };
}

impl Default for Retention {
    fn default() -> Self {
        Self::BACKUPS
    }
}

/// Something that may be kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keepable {
    /// When it was made, in seconds since the epoch.
    pub at: f64,
    /// How large it is.
    pub bytes: u64,
    /// Who wanted it.
    pub cause: Cause,
}

/// Why something was made.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// By itself: before a write, or by the clock.
    #[default]
    Automatic,
    /// Because somebody asked for it. It is never deleted to make room.
    Requested,
}

/// How much something is worth keeping; the least goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Old, and another one stands for its time.
    None,
    /// One of many in its minute.
    Recent,
    /// The newest of its minute.
    Minute,
    /// The newest of its hour, day or week.
    Period,
    /// The first of all.
    First,
    /// The newest of all, or asked for.
    Always,
}

/// Says of each of `items`, in any order, whether it is kept.
///
/// # Guarantees
/// - The newest and what was asked for are kept, even where they alone are more than the limits allow.
/// - Otherwise neither limit is exceeded. The first of all goes last.
/// - Thinning out often keeps the same as thinning out once, as long as the limits are not reached.
pub fn keep(items: &[Keepable], now: f64, policy: &Retention) -> Vec<bool> {
    let mut newest_first: Vec<usize> = (0..items.len()).collect();
    newest_first.sort_by(|one, two| items[*two].at.total_cmp(&items[*one].at).then(two.cmp(one)));
    let mut worth = vec![Worth::None; items.len()];
    let mut raise = |index: usize, to: Worth| worth[index] = worth[index].max(to);
    let is_recent = |index: &usize| now - items[*index].at < policy.all_for.as_secs_f64();
    let recent = newest_first.iter().take_while(|index| is_recent(index)).count();
    for index in &newest_first[..recent] {
        raise(*index, Worth::Recent);
    }
    for index in newest_of_each(items, &newest_first[..recent], minute, usize::MAX) {
        raise(index, Worth::Minute);
    }
    for (period, count) in [(hour as Period, policy.hourly), (day, policy.daily), (week, policy.weekly)] {
        for index in newest_of_each(items, &newest_first, period, count) {
            raise(index, Worth::Period);
        }
    }
    if let (Some(newest), Some(first)) = (newest_first.first(), newest_first.last()) {
        raise(*first, Worth::First);
        raise(*newest, Worth::Always);
    }
    for (index, item) in items.iter().enumerate() {
        if item.cause == Cause::Requested {
            raise(index, Worth::Always);
        }
    }
    within(items, &newest_first, &worth, policy)
}

/// Lets go of what is worth least, the oldest of it first, until the limits are met.
fn within(items: &[Keepable], newest_first: &[usize], worth: &[Worth], policy: &Retention) -> Vec<bool> {
    let mut kept: Vec<bool> = worth.iter().map(|worth| *worth > Worth::None).collect();
    let mut count = kept.iter().filter(|kept| **kept).count();
    let sizes = items.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(item, _)| item.bytes);
    let mut bytes = sizes.fold(0_u64, u64::saturating_add);
    let mut order: Vec<usize> = newest_first.iter().rev().copied().filter(|index| kept[*index]).collect();
    order.sort_by_key(|index| worth[*index]);
    for index in order {
        if (count <= policy.count && bytes <= policy.bytes) || worth[index] == Worth::Always {
            break;
        }
        kept[index] = false;
        count -= 1;
        bytes = bytes.saturating_sub(items[index].bytes);
    }
    kept
}

/// The number of the period that a time, in seconds since the epoch, lies in.
type Period = fn(f64) -> i64;

/// Returns the newest of each of the newest `count` periods that have any.
fn newest_of_each(items: &[Keepable], newest_first: &[usize], period: Period, count: usize) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let newest = newest_first.iter().copied().filter(|index| seen.insert(period(items[*index].at)));
    newest.take(count).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a time that does not fit is in one period with others like it"
)]
fn periods(at: f64, seconds: f64) -> i64 {
    (at / seconds).floor() as i64
}

fn minute(at: f64) -> i64 {
    periods(at, 60.0)
}

fn hour(at: f64) -> i64 {
    periods(at, 3_600.0)
}

fn day(at: f64) -> i64 {
    periods(at, 86_400.0)
}

/// The epoch was a Thursday.
fn week(at: f64) -> i64 {
    (day(at) + 3).div_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: f64 = 1_800_000_000.0;

    fn items() -> impl Strategy<Value = Vec<Keepable>> {
        // Ages of every size: seconds, hours, days, years, and a clock that was ahead.
        let age = prop_oneof![-100.0..7_200.0, 0.0..200_000.0, 0.0..9e6, 0.0..1e8_f64];
        let cause = prop_oneof![5 => Just(Cause::Automatic), 1 => Just(Cause::Requested)];
        let item = (age, 1..1_000_u64, cause).prop_map(|(age, bytes, cause): (f64, u64, Cause)| Keepable {
            at: NOW - age.floor(),
            bytes,
            cause,
        });
        proptest::collection::vec(item, 0..120)
    }

    fn policy() -> impl Strategy<Value = Retention> {
        (0..5_usize, 0..5_usize, 0..5_usize, 1..200_usize, 1..60_000_u64).prop_map(
            |(hourly, daily, weekly, count, bytes)| Retention {
                all_for: Duration::from_hours(1),
                hourly,
                daily,
                weekly,
                count,
                bytes,
            },
        )
    }

    fn kept(items: &[Keepable], now: f64, policy: &Retention) -> Vec<Keepable> {
        items.iter().zip(keep(items, now, policy)).filter(|(_, kept)| *kept).map(|(item, _)| *item).collect()
    }

    proptest! {
        #[test]
        fn the_newest_the_first_and_what_was_asked_for_stay(items in items(), policy in policy()) {
            let left = kept(&items, NOW, &policy);
            let asked = |items: &[Keepable]| items.iter().filter(|it| it.cause == Cause::Requested).count();
            prop_assert_eq!(asked(&left), asked(&items));
            let times = || items.iter().map(|item| item.at);
            let holds = |at: f64| left.iter().any(|item| item.at.total_cmp(&at).is_eq());
            prop_assert!(times().reduce(f64::max).is_none_or(holds));
            let others = |it: &&Keepable| it.cause == Cause::Automatic && it.at > times().reduce(f64::min).unwrap_or_default();
            // The first goes only where the newest alone is left besides it.
            prop_assert!(times().reduce(f64::min).is_none_or(holds) || left.iter().filter(others).count() <= 1);
        }

        #[test]
        fn no_limit_is_exceeded_by_what_nobody_asked_for(items in items(), policy in policy()) {
            let left = kept(&items, NOW, &policy);
            let held = left.iter().filter(|item| item.cause == Cause::Requested).count() + 1;
            prop_assert!(left.len() <= policy.count.max(held));
            let bytes: u64 = left.iter().map(|item| item.bytes).sum();
            prop_assert!(bytes <= policy.bytes || left.len() <= held);
        }

        #[test]
        fn keeping_twice_keeps_the_same(items in items(), policy in policy()) {
            let once = kept(&items, NOW, &policy);
            prop_assert_eq!(&kept(&once, NOW, &policy), &once);
        }

        #[test]
        fn thinning_out_after_each_keeps_what_thinning_out_once_keeps(mut items in items(), policy in policy()) {
            let policy = Retention { count: usize::MAX, bytes: u64::MAX, ..policy };
            items.retain(|item| item.at <= NOW);
            items.sort_by(|one, two| one.at.total_cmp(&two.at));
            items.dedup_by(|one, two| one.at.total_cmp(&two.at).is_eq());
            let mut left: Vec<Keepable> = Vec::new();
            for item in &items {
                left.push(*item);
                left = kept(&left, item.at, &policy);
            }
            prop_assert_eq!(kept(&left, NOW, &policy), kept(&items, NOW, &policy));
        }
    }

    #[test]
    fn everything_of_the_last_hour_then_hours_days_and_weeks() {
        let policy = Retention::BACKUPS;
        let every = |seconds: u32, count: u32| -> Vec<Keepable> {
            let at = |back: u32| NOW - f64::from(back) * f64::from(seconds);
            (0..count).map(|back| Keepable { at: at(back), bytes: 1, cause: Cause::Automatic }).collect()
        };
        assert_eq!(kept(&every(60, 59), NOW, &policy).len(), 59);
        // Two years of one every quarter of an hour.
        let left = kept(&every(900, 70_000), NOW, &policy).len();
        assert!((24 + 30 + 46..=4 + 24 + 31 + 53 + 1).contains(&left), "{left}");
    }

    #[test]
    fn a_burst_takes_nothing_from_the_weeks_before() {
        let old = (1..40).map(|week| Keepable {
            at: NOW - f64::from(week) * 604_800.0,
            bytes: 1,
            cause: Cause::Automatic,
        });
        let burst = (0..5_000).map(|number| Keepable {
            at: NOW - f64::from(number) / 100.0,
            bytes: 1,
            cause: Cause::Automatic,
        });
        let all: Vec<Keepable> = old.chain(burst).collect();
        let left = kept(&all, NOW, &Retention { count: 60, ..Retention::BACKUPS });
        assert_eq!(left.len(), 60);
        assert_eq!(left.iter().filter(|item| NOW - item.at > 86_400.0).count(), 39);
    }
}
