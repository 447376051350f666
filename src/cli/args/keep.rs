//! Where backups lie and how many are kept, from the environment: flags besides would fill every help.

use std::path::PathBuf;

use clap::Args;

use crate::model::{Bytes, Retention, Seconds};
use crate::source::at_home;
use crate::store::BackupOptions;

/// Where backups lie, and how many are kept.
#[derive(Args, Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BackupSettings {
    /// The folder that they lie in; `backups` beside the database by default.
    #[arg(long = "backup-folder", env = "OXIDE_OPERATOR_BACKUP_FOLDER", global = true, hide = true)]
    pub folder: Option<PathBuf>,
    /// For how long every backup is kept; `1h` by default.
    #[arg(long = "backup-all-for", env = "OXIDE_OPERATOR_BACKUP_ALL_FOR", global = true, hide = true)]
    pub all_for: Option<Seconds>,
    /// Of so many hours the newest is kept; 24 by default.
    #[arg(long = "backup-hourly", env = "OXIDE_OPERATOR_BACKUP_HOURLY", global = true, hide = true)]
    pub hourly: Option<usize>,
    /// Of so many days the newest is kept; 31 by default.
    #[arg(long = "backup-daily", env = "OXIDE_OPERATOR_BACKUP_DAILY", global = true, hide = true)]
    pub daily: Option<usize>,
    /// Of so many weeks the newest is kept; 53 by default.
    #[arg(long = "backup-weekly", env = "OXIDE_OPERATOR_BACKUP_WEEKLY", global = true, hide = true)]
    pub weekly: Option<usize>,
    /// At most so many in all; 500 by default.
    #[arg(long = "backup-count", env = "OXIDE_OPERATOR_BACKUP_COUNT", global = true, hide = true)]
    pub count: Option<usize>,
    /// At most so much in all, as `64MiB`; `2GiB` by default, and never more than half of the space that is free.
    #[arg(long = "backup-bytes", env = "OXIDE_OPERATOR_BACKUP_BYTES", global = true, hide = true)]
    pub bytes: Option<Bytes>,
}

impl BackupSettings {
    /// What is said here, else below, else by default.
    pub(crate) fn above(&self, below: &Self) -> BackupOptions {
        let usual = Retention::BACKUPS;
        let all_for =
            self.all_for.or(below.all_for).map(|it| std::time::Duration::from_secs_f64(it.0.min(1e9)));
        let retention = Retention {
            all_for: all_for.unwrap_or(usual.all_for),
            hourly: self.hourly.or(below.hourly).unwrap_or(usual.hourly),
            daily: self.daily.or(below.daily).unwrap_or(usual.daily),
            weekly: self.weekly.or(below.weekly).unwrap_or(usual.weekly),
            count: self.count.or(below.count).unwrap_or(usual.count),
            bytes: self.bytes.or(below.bytes).map_or(usual.bytes, |it| it.0),
        };
        let folder = self.folder.as_ref().or(below.folder.as_ref()).map(|folder| at_home(folder));
        BackupOptions { folder, retention }
    }
}
