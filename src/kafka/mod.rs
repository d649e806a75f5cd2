//! The only place that calls rdkafka.
