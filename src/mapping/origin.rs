//! The one place that decodes origin headers (rule 30): from raw header values to a source position.

use crate::{
    TopicPartition,
    api::v1alpha1::{Encoding, Features, HeaderNames, Tracing},
};

use super::SourceOffset;

/// Origins beyond this are no offsets: it tells apart the two byte orders of an eight-byte number.
const PLAUSIBLE_OFFSET: i64 = 1 << 48;

/// No log comes that far. What is beyond it is other people's junk, and sums of offsets never overflow.
const GREATEST_OFFSET: i64 = 1 << 62;

/// Bytes that are kept of a header: more than any topic's name (249) or number has, so that what is cut off is
/// as undecodable as it was whole. Anybody who may write to the target may write headers of a megabyte.
pub const KEPT: usize = 256;

/// Longest name of a topic.
const MAX_TOPIC: usize = 249;

/// Origin-bearing records of a target partition that the encoding is decided from.
pub const ENCODING_SAMPLE: usize = 1_000;

/// The last value of each origin header of a record (rule 26): absent, or its bytes; a null is no bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawOrigin<'a> {
    /// The source topic.
    pub topic: Option<&'a [u8]>,
    /// The source partition.
    pub partition: Option<&'a [u8]>,
    /// The source offset.
    pub offset: Option<&'a [u8]>,
    /// The pipeline.
    pub pipeline: Option<&'a [u8]>,
}

/// The same, kept beyond the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptOrigin([Option<Vec<u8>>; 4]);

impl KeptOrigin {
    /// As it was.
    pub fn raw(&self) -> RawOrigin<'_> {
        let [topic, partition, offset, pipeline] = self.0.each_ref().map(Option::as_deref);
        RawOrigin { topic, partition, offset, pipeline }
    }
}

impl RawOrigin<'_> {
    /// A copy to keep, of bounded size.
    pub fn keep(&self) -> KeptOrigin {
        let kept = |value: &[u8]| value[..value.len().min(KEPT)].to_vec();
        KeptOrigin([self.topic, self.partition, self.offset, self.pipeline].map(|v| v.map(kept)))
    }

    /// Whether there is no origin header at all: a native record.
    pub fn is_native(&self) -> bool {
        self.topic.is_none() && self.partition.is_none() && self.offset.is_none() && self.pipeline.is_none()
    }
}

/// Which headers a replicator writes, and what they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginFormat {
    /// Header with the source topic, where it is written.
    pub topic: Option<String>,
    /// Header with the source partition, where it is written.
    pub partition: Option<String>,
    /// Header with the source offset, where it is written.
    pub offset: Option<String>,
    /// Header with the pipeline's name, where it is written.
    pub pipeline: Option<String>,
    /// How numbers are written.
    pub encoding: Encoding,
}

impl OriginFormat {
    /// What the spec of a replicator says.
    pub fn new(features: &Features, tracing: &Tracing) -> Self {
        let HeaderNames { topic, partition, offset, pipeline } = &tracing.headers;
        let enabled = &features.tracing_headers;
        Self {
            topic: enabled.topic.is_enabled().then(|| topic.clone()),
            partition: enabled.partition.is_enabled().then(|| partition.clone()),
            offset: enabled.offset.is_enabled().then(|| offset.clone()),
            pipeline: enabled.pipeline.is_enabled().then(|| pipeline.clone()),
            encoding: tracing.encoding,
        }
    }
}

/// How the numbers on one target partition are written, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Decimal digits.
    Decimal,
    /// Eight bytes, or four, big-endian.
    BigEndian,
    /// Eight bytes, little-endian.
    LittleEndian,
}

impl Numbers {
    /// What the spec fixes; none where it is to be decided from the records.
    pub fn fixed(encoding: Encoding) -> Option<Self> {
        match encoding {
            Encoding::Auto => None,
            Encoding::String => Some(Self::Decimal),
            Encoding::Int64BE | Encoding::Int32BE => Some(Self::BigEndian),
            Encoding::Int64LE => Some(Self::LittleEndian),
        }
    }

    /// Decides from the offset headers of many records, decimal digits first. None where two ways of
    /// reading them are both plausible and differ. What decodes in no way counts for none: it is
    /// undecodable whatever is decided.
    pub fn decide<'a>(samples: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let (mut decimal, mut big, mut little, mut differ) = (0_u32, 0_u32, 0_u32, false);
        for bytes in samples {
            if Self::Decimal.read(bytes).is_some() {
                decimal += 1;
                continue;
            }
            let plausible = |n: &i64| (0..PLAUSIBLE_OFFSET).contains(n);
            let (be, le) = (
                Self::BigEndian.read(bytes).filter(plausible),
                // Nobody writes four of them.
                Self::LittleEndian.read(bytes).filter(|n| bytes.len() == 8 && plausible(n)),
            );
            big += u32::from(be.is_some());
            little += u32::from(le.is_some());
            differ |= be.is_some() && le.is_some() && be != le;
        }
        match (decimal, big, little) {
            (_, 0, 0) => Some(Self::Decimal),
            (0, b, l) if b > l => Some(Self::BigEndian),
            (0, b, l) if l > b => Some(Self::LittleEndian),
            (0, ..) if !differ => Some(Self::BigEndian),
            _ => None,
        }
    }

    fn read(self, bytes: &[u8]) -> Option<i64> {
        match self {
            Self::Decimal => decimal(bytes),
            Self::BigEndian => match bytes.len() {
                8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
                4 => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
                _ => None,
            },
            Self::LittleEndian => match bytes.len() {
                8 => Some(i64::from_le_bytes(bytes.try_into().ok()?)),
                4 => Some(i32::from_le_bytes(bytes.try_into().ok()?).into()),
                _ => None,
            },
        }
    }
}

/// Decimal digits and nothing else: no sign, no space, at most what an `i64` holds.
fn decimal(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// What a record's headers say of where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// No origin header at all.
    Native,
    /// An origin header is there, but the origin cannot be told; the text says why.
    Undecodable(String),
    /// A copy of this source record.
    Copy(TopicPartition, SourceOffset),
}

/// What the route implies where a header is not written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Implied {
    /// The only source topic that is copied to this target partition.
    pub topic: Option<String>,
    /// The only source partition that is copied to it.
    pub partition: Option<i32>,
}

/// Decodes one record's headers.
pub fn decode(raw: &RawOrigin<'_>, format: &OriginFormat, implied: &Implied, numbers: Numbers) -> Origin {
    if raw.is_native() {
        return Origin::Native;
    }
    match decode_copy(raw, format, implied, numbers) {
        Ok((partition, offset)) => Origin::Copy(partition, offset),
        Err(why) => Origin::Undecodable(why),
    }
}

fn decode_copy(
    raw: &RawOrigin<'_>,
    format: &OriginFormat,
    implied: &Implied,
    numbers: Numbers,
) -> Result<(TopicPartition, SourceOffset), String> {
    let offset = number("offset", format.offset.as_deref(), raw.offset, numbers)?;
    let partition = if format.partition.is_some() {
        let n = number("partition", format.partition.as_deref(), raw.partition, numbers)?;
        i32::try_from(n).map_err(|_| format!("partition header holds {n}"))?
    } else {
        implied.partition.ok_or("no partition header is written and the route does not tell the partition")?
    };
    let topic = if let Some(name) = &format.topic {
        let bytes = raw.topic.ok_or_else(|| format!("header `{name}` is missing"))?;
        if bytes.len() > MAX_TOPIC {
            return Err(format!("header `{name}` is longer than a topic's name can be"));
        }
        str::from_utf8(bytes).map_err(|_| format!("header `{name}` is not UTF-8"))?.to_owned()
    } else {
        implied.topic.clone().ok_or("no topic header is written and the route does not tell the topic")?
    };
    Ok((TopicPartition { topic, partition }, SourceOffset(offset)))
}

fn number(what: &str, name: Option<&str>, value: Option<&[u8]>, numbers: Numbers) -> Result<i64, String> {
    let name = name.ok_or_else(|| format!("no {what} header is written"))?;
    let bytes = value.ok_or_else(|| format!("header `{name}` is missing"))?;
    match numbers.read(bytes) {
        Some(n) if (0..=GREATEST_OFFSET).contains(&n) => Ok(n),
        Some(n) => Err(format!("header `{name}` holds {n}")),
        None if bytes.len() >= KEPT => {
            Err(format!("header `{name}` does not decode as {numbers:?}: it is too long"))
        }
        None => Err(format!("header `{name}` ({} bytes) does not decode as {numbers:?}", bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Implied, Numbers, Origin, OriginFormat, RawOrigin, decode};
    use crate::{
        TopicPartition,
        api::v1alpha1::{Features, Toggle, Tracing, TracingHeaders},
        mapping::SourceOffset,
    };

    fn format() -> OriginFormat {
        let tracing_headers = TracingHeaders {
            topic: Toggle::Enabled,
            partition: Toggle::Enabled,
            offset: Toggle::Enabled,
            pipeline: Toggle::Disabled,
        };
        OriginFormat::new(&Features { tracing_headers, ..Features::default() }, &Tracing::default())
    }

    fn raw<'a>(topic: &'a [u8], partition: &'a [u8], offset: &'a [u8]) -> RawOrigin<'a> {
        RawOrigin { topic: Some(topic), partition: Some(partition), offset: Some(offset), pipeline: None }
    }

    #[test]
    fn decimal_strings_decode() {
        let origin = decode(&raw(b"orders", b"3", b"1204"), &format(), &Implied::default(), Numbers::Decimal);
        assert_eq!(origin, Origin::Copy(TopicPartition::new("orders", 3), SourceOffset(1204)));
    }

    #[test]
    fn binary_numbers_decode_in_either_order() {
        let (be, le) =
            ((3_i32.to_be_bytes(), 1204_i64.to_be_bytes()), (3_i64.to_le_bytes(), 1204_i64.to_le_bytes()));
        let (be, le) = (raw(b"orders", &be.0, &be.1), raw(b"orders", &le.0, &le.1));
        let expected = Origin::Copy(TopicPartition::new("orders", 3), SourceOffset(1204));
        assert_eq!(decode(&be, &format(), &Implied::default(), Numbers::BigEndian), expected);
        assert_eq!(decode(&le, &format(), &Implied::default(), Numbers::LittleEndian), expected);
    }

    #[test]
    fn rule_30_what_cannot_be_decoded_is_told_apart_from_native() {
        let native = RawOrigin::default();
        assert_eq!(decode(&native, &format(), &Implied::default(), Numbers::Decimal), Origin::Native);
        for bad in [
            raw(b"orders", b"3", b"-1"),
            raw(b"orders", b"3", b"12x"),
            raw(b"orders", b"3", b""),
            raw(b"orders", b"99999999999", b"1"),
            raw(b"\xff", b"3", b"1"),
            raw(&[b'a'; 250], b"3", b"1"),
            // Eight bytes are no more than that either, and 63 bits leave no room for a sum.
            raw(b"orders", b"3", b"9223372036854775807"),
            RawOrigin { offset: None, ..raw(b"orders", b"3", b"") },
        ] {
            let origin = decode(&bad, &format(), &Implied::default(), Numbers::Decimal);
            assert!(matches!(origin, Origin::Undecodable(_)), "{bad:?} gave {origin:?}");
        }
    }

    #[test]
    fn what_is_kept_decodes_as_it_was_whole() {
        let long = |byte: u8, len: usize| vec![byte; len];
        for (topic, offset) in [
            (long(b'a', 1 << 20), long(b'1', 1)),
            (long(b'a', 249), long(b'1', 1 << 20)),
            (long(b'a', 249), long(b'1', 256)),
            ("é".repeat(200).into_bytes(), long(b'1', 1)),
            (long(b'a', 249), long(b'1', 18)),
        ] {
            let whole = raw(&topic, b"3", &offset);
            let kept = whole.keep();
            for numbers in [Numbers::Decimal, Numbers::BigEndian, Numbers::LittleEndian] {
                let decoded = |raw: &RawOrigin<'_>| decode(raw, &format(), &Implied::default(), numbers);
                assert_eq!(
                    decoded(&whole),
                    decoded(&kept.raw()),
                    "{} bytes, {} bytes",
                    topic.len(),
                    offset.len()
                );
            }
            assert!(kept.0.iter().flatten().map(Vec::len).sum::<usize>() <= 4 * super::KEPT);
        }
    }

    #[test]
    fn headers_that_are_not_written_follow_from_the_route() {
        let format = OriginFormat { topic: None, partition: None, ..format() };
        let implied = Implied { topic: Some("orders".into()), partition: Some(1) };
        let raw = RawOrigin { offset: Some(b"7"), ..RawOrigin::default() };
        assert_eq!(
            decode(&raw, &format, &implied, Numbers::Decimal),
            Origin::Copy(TopicPartition::new("orders", 1), SourceOffset(7))
        );
        assert!(matches!(
            decode(&raw, &format, &Implied::default(), Numbers::Decimal),
            Origin::Undecodable(_)
        ));
    }

    #[test]
    fn the_encoding_is_decided_from_many_records() {
        let be: Vec<_> = (0..300_i64).map(i64::to_be_bytes).collect();
        let le: Vec<_> = (0..300_i64).map(i64::to_le_bytes).collect();
        let slices = |all: &[[u8; 8]]| Numbers::decide(all.iter().map(<[u8; 8]>::as_slice));
        assert_eq!(slices(&be), Some(Numbers::BigEndian));
        assert_eq!(slices(&le), Some(Numbers::LittleEndian));
        // Eight digits are digits, whatever they would be as a number.
        assert_eq!(Numbers::decide([b"10000000".as_slice(), b"7"]), Some(Numbers::Decimal));
        // A zero reads alike both ways; garbage beside it says nothing.
        assert_eq!(Numbers::decide([[0; 8].as_slice(), b"junk!"]), Some(Numbers::BigEndian));
        // Plausible in both orders, and not alike.
        assert_eq!(Numbers::decide([[0, 0, 1, 0, 0, 0, 0, 0].as_slice()]), None);
        // Four bytes are big-endian.
        assert_eq!(Numbers::decide([5_i32.to_be_bytes().as_slice()]), Some(Numbers::BigEndian));
        // A mixture is refused rather than guessed at.
        assert_eq!(Numbers::decide([b"17".as_slice(), &17_i64.to_be_bytes()]), None);
    }
}
