//! One page of metrics, family after family.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;

use crate::metrics::counter::Histogram;

/// What one sample is told apart by.
type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// A page that is being written. The name of a family is given without `_total`, which the encoder adds to counters.
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

impl Page<'_> {
    pub(super) fn counters<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a, N>, u64)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in samples {
            family
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
        Ok(())
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        self.counters(name, help, [([], count)])
    }

    /// A counter of what is no whole number.
    pub(super) fn seconds(&mut self, name: &str, help: &str, seconds: Option<f64>) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        match seconds {
            Some(seconds) => family.encode_counter::<NoLabelSet, _, f64>(&seconds, None),
            None => Ok(()),
        }
    }

    pub(super) fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a, N>, f64)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            let mut sample = family.encode_family(&labels)?;
            match whole(value) {
                Some(whole) => sample.encode_gauge(&whole)?,
                None => sample.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl Into<Option<f64>>,
    ) -> fmt::Result {
        self.gauges(name, help, value.into().map(|value| ([], value)))
    }

    pub(super) fn histograms<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a, N>, &'a Histogram)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in samples {
            // Summed up from the buckets, so that both agree whatever is observed meanwhile.
            let buckets = histogram.buckets();
            let count = buckets.iter().map(|(_, count)| count).sum();
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(histogram.sum(), count, &buckets, None)?;
        }
        Ok(())
    }
}

/// Up to this a double holds every whole number: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// `1` instead of `1.0`: most of the page's numbers are whole.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it is whole and both types hold it"
)]
fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < EXACT).then_some(value as i64)
}
