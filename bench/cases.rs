//! What is measured: one base log, then one factor at a time.

use super::methods::Method;

/// A log that cases are measured on: copies of a source topic, each offset once and in order.
#[derive(Clone, Copy)]
pub struct Log {
    pub topic: &'static str,
    pub partitions: i32,
    /// In each partition.
    pub records: i64,
    /// Bytes of a value.
    pub value: usize,
    /// Bytes of a batch before compression.
    pub batch: usize,
    pub cases: &'static [Case],
}

/// What is measured on it.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub methods: &'static [Method],
    /// Only so many of its partitions.
    pub partitions: i32,
    /// Only so many of each partition's records.
    pub records: i64,
    /// On the way to the broker and on the way back, each.
    pub delay_ms: u64,
}

const fn case(name: &'static str, partitions: i32, records: i64, methods: &'static [Method]) -> Case {
    Case { name, methods, partitions, records, delay_ms: 0 }
}

const POSITION: &[Method] = &[Method::Search, Method::QuickBinary, Method::QuickScan];
const PROOF: &[Method] = &[
    Method::Proof { lag: 1 },
    Method::Consume { lag: 1 },
    Method::Proof { lag: 50 },
    Method::Consume { lag: 50 },
];

pub const LOGS: [Log; 5] = [
    Log {
        topic: "base",
        partitions: 100,
        records: 20_000,
        value: 200,
        batch: 16_384,
        cases: &[
            case("100 x 20,000", 100, 20_000, POSITION),
            case("100 x 20,000, proof", 100, 20_000, PROOF),
            case(
                "a tenth: 10 x 20,000",
                10,
                20_000,
                &[Method::Search, Method::DefaultBinary, Method::DefaultScan],
            ),
            Case { delay_ms: 10, ..case("100 x 20,000, 10 ms", 100, 20_000, POSITION) },
            Case {
                delay_ms: 50,
                ..case("100 x 20,000, 50 ms", 100, 20_000, &[Method::Search, Method::QuickScan])
            },
            Case {
                delay_ms: 50,
                ..case("a tenth, 50 ms", 10, 20_000, &[Method::Search, Method::QuickBinary])
            },
        ],
    },
    Log {
        topic: "partitions",
        partitions: 1_000,
        records: 20_000,
        value: 200,
        batch: 16_384,
        cases: &[
            case("1,000 x 20,000", 1_000, 20_000, POSITION),
            case(
                "1,000 x 20,000, proof",
                1_000,
                20_000,
                &[Method::Proof { lag: 50 }, Method::Consume { lag: 50 }],
            ),
        ],
    },
    Log {
        topic: "length",
        partitions: 1,
        records: 10_000_000,
        value: 200,
        batch: 16_384,
        cases: &[
            case("1 x 2,500,000", 1, 2_500_000, &[Method::Search]),
            case("1 x 10,000,000", 1, 10_000_000, POSITION),
            case("1 x 10,000,000, proof", 1, 10_000_000, PROOF),
        ],
    },
    Log {
        topic: "records",
        partitions: 100,
        records: 20_000,
        value: 1_000,
        batch: 16_384,
        cases: &[case("100 x 20,000, 1,000 bytes", 100, 20_000, POSITION)],
    },
    Log {
        topic: "batches",
        partitions: 100,
        records: 20_000,
        value: 200,
        batch: 1_048_576,
        cases: &[case("100 x 20,000, 1 MiB batches", 100, 20_000, POSITION)],
    },
];
