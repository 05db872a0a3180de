//! Makes entries durable with TiKV's raft-engine, in blocks, when told to; see
//! ../../log/rutile_driver.cc, which does the same with Rutile's log and speaks the same way with
//! bench/compare-logs. docs/benchmarks.md says what is measured.
//!
//!   raft_engine_driver DIRECTORY --regions R --bytes N --mode batch|writers
//!                      [--config default|recycled|recycled-lz4]
//!
//! default: as the library comes. recycled: all files have been used before, as in a log that has
//! run for a while, and nothing is compressed; recycled-lz4: batches of 8 KiB and more are.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize};
use raft_proto::eraftpb::Entry;

const KEPT_BYTES: u64 = 16 << 20;
/// Of file bytes, before what is not needed is given back.
const PURGE_THRESHOLD_MIB: u64 = 512;
const FILE_MIB: u64 = 128; // The library's default.
const PURGE_EVERY: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;
    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// SplitMix64, as in src/base/random.h: both drivers write the same bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// One region's log: its payload is the same each time, and nobody else's.
struct Region {
    id: u64,
    payload: Entry,
    last: u64,
    compacted: u64,
    kept: u64,
}

impl Region {
    fn append(&mut self, batch: &mut LogBatch) {
        self.last += 1;
        // Shares the payload, as a replica's entry would be shared with its log in memory.
        let mut entry = self.payload.clone();
        entry.index = self.last;
        batch.add_entries::<Entries>(self.id, std::slice::from_ref(&entry)).unwrap();
    }

    fn must_compact(&self) -> bool {
        self.last >= self.compacted + 2 * self.kept
    }

    fn compact(&mut self, batch: &mut LogBatch) {
        self.compacted = self.last - self.kept;
        // Keeps what is at the index and after it.
        batch.add_command(self.id, Command::Compact { index: self.compacted + 1 });
    }

    fn verify(&self, engine: &Engine) {
        let entry = engine.get_entry::<Entries>(self.id, self.last).unwrap().expect("the last entry");
        assert!(entry.data == self.payload.data, "another entry is read");
        assert_eq!(engine.last_index(self.id), Some(self.last));
    }
}

fn regions(count: u64, bytes: usize) -> Vec<Region> {
    let mut random = Random(bytes as u64);
    let kept = KEPT_BYTES / (count * bytes as u64) + 1;
    (1..=count)
        .map(|id| {
            let mut data = Vec::with_capacity(bytes + 8);
            while data.len() < bytes {
                data.extend_from_slice(&random.next().to_le_bytes());
            }
            data.truncate(bytes);
            let mut payload = Entry::new();
            payload.set_term(1);
            payload.set_data(data.into());
            Region { id, payload, last: 0, compacted: 0, kept }
        })
        .collect()
}

fn open(directory: &str, config: &str) -> Engine {
    let mut options = Config { dir: directory.to_owned(), ..Default::default() };
    if config == "default" {
        return Engine::open(options).unwrap();
    }
    options.target_file_size = ReadableSize::mb(FILE_MIB);
    options.purge_threshold = ReadableSize::mb(PURGE_THRESHOLD_MIB);
    options.prefill_for_recycle = true;
    if config == "recycled" {
        options.batch_compression_threshold = ReadableSize(0);
    }
    let engine = Engine::open(options).unwrap();
    leave_first_file(&engine);
    // What was written ahead must not be on its way to the disk when time is taken.
    assert!(std::process::Command::new("sync").status().unwrap().success());
    engine
}

/// The only one that was not written ahead.
fn leave_first_file(engine: &Engine) {
    const REGION: u64 = 1_000_000;
    let mut batch = LogBatch::default();
    // Compressed bytes would not fill it.
    let mut entry = regions(1, 1 << 20).remove(0).payload;
    for index in 1..=FILE_MIB + 1 {
        entry.index = index;
        batch.add_entries::<Entries>(REGION, std::slice::from_ref(&entry)).unwrap();
        engine.write(&mut batch, true).unwrap();
    }
    batch.add_command(REGION, Command::Clean);
    engine.write(&mut batch, true).unwrap();
}

/// One thread, one entry of each region in a batch. As TiKV's own store writer hands them over.
fn run_batches(engine: &Engine, regions: &mut [Region], time: Duration, latency: &mut Vec<u64>) -> u64 {
    let mut batch = LogBatch::with_capacity(regions.len());
    let mut batches = 0;
    let begin = Instant::now();
    let mut now = begin;
    while now - begin < time {
        for region in regions.iter_mut() {
            region.append(&mut batch);
        }
        engine.write(&mut batch, true).unwrap();
        latency.push(now.elapsed().as_nanos() as u64);
        if regions[0].must_compact() {
            for region in regions.iter_mut() {
                region.compact(&mut batch);
            }
            engine.write(&mut batch, false).unwrap();
            engine.purge_expired_files().unwrap();
        }
        now = Instant::now();
        batches += 1;
    }
    batches * regions.len() as u64
}

/// One thread a region: the engine makes groups of those that wait.
fn run_writers(engine: &Engine, regions: &mut [Region], time: Duration, latency: &mut Vec<u64>) -> u64 {
    let begin = Instant::now();
    let stop = AtomicBool::new(false);
    let seen: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let purger = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::thread::park_timeout(PURGE_EVERY);
                engine.purge_expired_files().unwrap();
            }
        });
        let writers: Vec<_> = regions
            .iter_mut()
            .map(|region| scope.spawn(move || write_alone(engine, region, begin, time)))
            .collect();
        let seen = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        purger.thread().unpark();
        seen
    });
    let entries = seen.iter().map(|one| one.len() as u64).sum();
    latency.extend(seen.into_iter().flatten());
    entries
}

fn write_alone(engine: &Engine, region: &mut Region, begin: Instant, time: Duration) -> Vec<u64> {
    let mut latency = Vec::new();
    let mut batch = LogBatch::default();
    let mut now = Instant::now();
    while now - begin < time {
        region.append(&mut batch);
        if region.must_compact() {
            region.compact(&mut batch);
        }
        engine.write(&mut batch, true).unwrap();
        let after = Instant::now();
        latency.push((after - now).as_nanos() as u64);
        now = after;
    }
    latency
}

fn percentile(sorted: &[u64], percent: f64) -> f64 {
    match sorted.len() {
        0 => 0.0,
        count => sorted[((count - 1) as f64 * percent / 100.0).round() as usize] as f64 / 1000.0,
    }
}

fn obey(engine: &Engine, regions: &mut [Region], mode: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "ready").unwrap();
    for line in std::io::stdin().lock().lines() {
        let time = Duration::from_secs_f64(line.unwrap().parse().expect("seconds"));
        let mut latency = Vec::new();
        let begin = Instant::now();
        let entries = match mode {
            "writers" => run_writers(engine, regions, time, &mut latency),
            _ => run_batches(engine, regions, time, &mut latency),
        };
        let elapsed = begin.elapsed().as_secs_f64();
        latency.sort_unstable();
        let (p50, p99) = (percentile(&latency, 50.0), percentile(&latency, 99.0));
        writeln!(
            out,
            "{{\"entries\": {entries}, \"seconds\": {elapsed}, \"p50\": {p50:.1}, \"p99\": {p99:.1}}}"
        )
        .unwrap();
    }
    for region in regions.iter() {
        region.verify(engine);
    }
    writeln!(out, "verified").unwrap();
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("usage: raft_engine_driver DIRECTORY [--option value] ...");
    let (mut count, mut bytes) = (1, 256);
    let (mut mode, mut config) = ("batch".to_owned(), "recycled".to_owned());
    while let Some(option) = arguments.next() {
        let value = arguments.next().expect("a value");
        match option.as_str() {
            "--regions" => count = value.parse().expect("a number"),
            "--bytes" => bytes = value.parse().expect("a number"),
            "--mode" if ["batch", "writers"].contains(&value.as_str()) => mode = value,
            "--config" if ["default", "recycled", "recycled-lz4"].contains(&value.as_str()) => config = value,
            _ => panic!("{option} {value} is not known"),
        }
    }
    std::fs::create_dir_all(&directory).unwrap();
    let engine = open(&directory, &config);
    obey(&engine, &mut regions(count, bytes), &mode);
    drop(engine);
    std::fs::remove_dir_all(&directory).unwrap();
}
