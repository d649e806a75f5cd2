//! Origin headers: where a copy came from, as bytes. Pure; what they are read for is the mapping's business.

use std::io::Write;

use crate::api::v1alpha1::{Encoding, Features, Tracing};

/// Room for the longest number: 20 characters of an `i64`.
const LONGEST: usize = 20;

/// The origin headers that a replicator writes, and how.
///
/// They are appended behind the record's own headers. A record that was replicated before may carry the same
/// names already: the last instance is the one that is read, so ours must come last.
#[derive(Clone, Debug)]
pub struct OriginHeaders {
    topic: Option<String>,
    partition: Option<String>,
    offset: Option<String>,
    pipeline: Option<(String, String)>,
    encoding: Encoding,
}

/// An offset or partition that the chosen encoding cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value} does not fit into four bytes: set spec.tracing.encoding to String or Int64BE")]
pub struct DoesNotFit {
    /// The number.
    pub value: i64,
}

impl OriginHeaders {
    /// The headers that `features` enables, named and written as `tracing` says.
    pub fn new(features: &Features, tracing: &Tracing, pipeline: &str) -> Self {
        let on = &features.tracing_headers;
        let names = &tracing.headers;
        Self {
            topic: on.topic.is_enabled().then(|| names.topic.clone()),
            partition: on.partition.is_enabled().then(|| names.partition.clone()),
            offset: on.offset.is_enabled().then(|| names.offset.clone()),
            pipeline: on.pipeline.is_enabled().then(|| (names.pipeline.clone(), pipeline.to_owned())),
            encoding: tracing.encoding,
        }
    }

    /// Whether the source offset is written. Without it no group can be migrated by these copies.
    pub fn has_offset(&self) -> bool {
        self.offset.is_some()
    }

    /// How many headers each copy gets.
    pub fn len(&self) -> usize {
        usize::from(self.topic.is_some())
            + usize::from(self.partition.is_some())
            + usize::from(self.offset.is_some())
            + usize::from(self.pipeline.is_some())
    }

    /// Whether no header is written at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands each header of the record at `offset` of `topic`-`partition` to `add`, as name and value.
    pub fn each(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        mut add: impl FnMut(&str, &[u8]),
    ) -> Result<(), DoesNotFit> {
        let mut buffer = [0; LONGEST];
        if let Some(name) = &self.topic {
            add(name, topic.as_bytes());
        }
        if let Some(name) = &self.partition {
            add(name, self.number(i64::from(partition), &mut buffer)?);
        }
        if let Some(name) = &self.offset {
            add(name, self.number(offset, &mut buffer)?);
        }
        if let Some((name, pipeline)) = &self.pipeline {
            add(name, pipeline.as_bytes());
        }
        Ok(())
    }

    /// `value` as the encoding writes it. `Auto` is a reader's word; a writer takes decimal digits, which
    /// every reader understands.
    fn number<'b>(&self, value: i64, buffer: &'b mut [u8; LONGEST]) -> Result<&'b [u8], DoesNotFit> {
        let fixed = |buffer: &'b mut [u8; LONGEST], bytes: &[u8]| -> &'b [u8] {
            let to = &mut buffer[..bytes.len()];
            to.copy_from_slice(bytes);
            to
        };
        Ok(match self.encoding {
            Encoding::Auto | Encoding::String => {
                let mut rest = &mut buffer[..];
                // Cannot fail: the buffer holds every i64.
                let _ = write!(rest, "{value}");
                let used = LONGEST - rest.len();
                &buffer[..used]
            }
            Encoding::Int64BE => fixed(buffer, &value.to_be_bytes()),
            Encoding::Int64LE => fixed(buffer, &value.to_le_bytes()),
            Encoding::Int32BE => {
                let value = i32::try_from(value).map_err(|_| DoesNotFit { value })?;
                fixed(buffer, &value.to_be_bytes())
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{DoesNotFit, OriginHeaders};
    use crate::api::v1alpha1::{Encoding, Features, Toggle, Tracing, TracingHeaders};

    fn all(encoding: Encoding) -> OriginHeaders {
        let on = Toggle::Enabled;
        let features = Features {
            tracing_headers: TracingHeaders { topic: on, partition: on, offset: on, pipeline: on },
            ..Features::default()
        };
        OriginHeaders::new(&features, &Tracing { encoding, ..Tracing::default() }, "eu-to-us")
    }

    fn written(headers: &OriginHeaders, offset: i64) -> Vec<(String, Vec<u8>)> {
        let mut out = Vec::new();
        headers
            .each("orders", 7, offset, |name, value| {
                out.push((name.to_owned(), value.to_vec()));
            })
            .unwrap();
        out
    }

    #[test]
    fn digits_are_the_default_and_the_names_are_those_of_k2k() {
        let expected = [
            ("k2k_topic", "orders"),
            ("k2k_partition", "7"),
            ("k2k_offset", "1204"),
            ("k2k_pipeline", "eu-to-us"),
        ];
        for encoding in [Encoding::Auto, Encoding::String] {
            let written = written(&all(encoding), 1204);
            let text: Vec<(&str, &str)> =
                written.iter().map(|(n, v)| (n.as_str(), std::str::from_utf8(v).unwrap())).collect();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn binary_encodings_have_a_fixed_width() {
        let offset = |encoding| written(&all(encoding), 258)[2].1.clone();
        assert_eq!(offset(Encoding::Int64BE), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(offset(Encoding::Int64LE), [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(offset(Encoding::Int32BE), [0, 0, 1, 2]);
        assert_eq!(written(&all(Encoding::Int64BE), 258)[1].1, [0, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn the_longest_number_has_room_and_one_that_does_not_fit_is_refused() {
        assert_eq!(written(&all(Encoding::String), i64::MIN)[2].1, b"-9223372036854775808");
        let value = i64::from(i32::MAX) + 1;
        let refused = all(Encoding::Int32BE).each("t", 0, value, |_, _| {});
        assert_eq!(refused, Err(DoesNotFit { value }));
    }

    #[test]
    fn what_is_disabled_is_not_written() {
        let none = OriginHeaders::new(&Features::default(), &Tracing::default(), "p");
        assert!(none.is_empty() && !none.has_offset());
        assert!(written(&none, 1).is_empty());
    }
}
