//! The floor: binary COPY of the rows that the product stored.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    bench::Bench,
    catalog::{Database, TABLES},
    product,
    usage::postgres_seconds,
};

/// The rows of a load, in files for `COPY`.
pub struct Rows {
    dir: PathBuf,
    /// Their row of `chains`.
    chain: PathBuf,
    count: f64,
    kept: BTreeSet<String>,
}

/// The durations of loading them.
pub struct FloorLoad {
    pub rows: f64,
    pub seconds: f64,
    /// Building the indexes that the product had dropped while it loaded.
    pub after: f64,
    pub postgres: f64,
}

impl Rows {
    /// Exports the rows that the product stored, in the order of the primary keys.
    fn export(bench: &Bench, load: &mut product::Load) -> Self {
        let dir = bench.postgres.dir.join("rows");
        fs::create_dir_all(&dir).expect("the directory can be written");
        let order = |table: &str| match table {
            "blocks" => "chain_id, number",
            "transactions" => "chain_id, block_number, transaction_index",
            _ => "chain_id, block_number, log_index",
        };
        let mut script = TABLES
            .map(|table| {
                let query = format!("SELECT * FROM {table} ORDER BY {}", order(table));
                format!(
                    "\\copy ({query}) TO '{}' WITH (FORMAT binary)\n",
                    file(&dir, table).display()
                )
            })
            .concat();
        let chain = file(&dir, "chains");
        script.push_str(&format!(
            "\\copy chains TO '{}' WITH (FORMAT binary)\n",
            chain.display()
        ));
        psql(&load.database.url, &script);
        Self {
            dir,
            chain,
            count: load.all_rows(),
            kept: load.kept.clone(),
        }
    }

    /// Exports the rows of a first load, which warms everything up and is not measured; the error explains why there is
    /// none.
    pub fn export_first(
        bench: &Bench,
        load: Result<product::Load, String>,
    ) -> Result<Self, String> {
        let mut load = load?;
        let rows = Self::export(bench, &mut load);
        load.database.remove();
        Ok(rows)
    }

    /// Loads the rows into a new database.
    pub fn load(&self, bench: &Bench) -> FloorLoad {
        let (mut database, _) = product::migrated(bench);
        let schema = database.schema();
        let left_out = database.keep_only(&schema, &self.kept);
        psql(
            &database.url,
            &format!(
                "\\copy chains FROM '{}' WITH (FORMAT binary)\n",
                self.chain.display()
            ),
        );
        let script = TABLES
            .map(|table| {
                format!(
                    "\\copy {table} FROM '{}' WITH (FORMAT binary)\n",
                    file(&self.dir, table).display()
                )
            })
            .concat();
        database.execute("CHECKPOINT");
        let postmaster = database.postmaster();
        let before = postgres_seconds(postmaster);
        let start = Instant::now();
        psql(&database.url, &script);
        let seconds = start.elapsed().as_secs_f64();
        let postgres = postgres_seconds(postmaster) - before;
        check(&mut database, self.count);
        let after = database.timed(&left_out);
        database.remove();
        FloorLoad {
            rows: self.count,
            seconds,
            after,
            postgres,
        }
    }
}

fn check(database: &mut Database, expected: f64) {
    let rows = database.rows().iter().sum::<i64>() as f64;
    assert!(
        rows == expected,
        "the floor loaded {rows} rows, not {expected}"
    );
}

fn file(dir: &Path, table: &str) -> PathBuf {
    dir.join(format!("{table}.copy"))
}

fn psql(url: &str, script: &str) {
    let path = std::env::temp_dir().join(format!("chaincast-bench-{}.sql", std::process::id()));
    fs::write(&path, script).expect("the directory for temporary files can be written");
    let mut command = Command::new("psql");
    command
        .args([
            "--quiet",
            "--no-psqlrc",
            "--set",
            "ON_ERROR_STOP=1",
            "--file",
        ])
        .arg(&path)
        .arg(url);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    fs::remove_file(&path).ok();
    assert!(
        status.expect("psql is installed").success(),
        "psql failed: {script}"
    );
}
