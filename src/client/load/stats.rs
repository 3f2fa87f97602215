//! Numbers to the few that describe them.

use serde::Serialize;

/// How a quantity is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distribution {
    /// How many values.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Half of the values are at most this.
    pub p50: f64,
    /// 95 of 100 values are at most this.
    pub p95: f64,
    /// 99 of 100 values are at most this.
    pub p99: f64,
    /// The greatest value.
    pub max: f64,
}

impl Distribution {
    /// `None` without values.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        Some(Self {
            count: values.len(),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            p50: percentile(&values, 50.0)?,
            p95: percentile(&values, 95.0)?,
            p99: percentile(&values, 99.0)?,
            max: *values.last()?,
        })
    }
}

/// The smallest value that `percent` of all are not above (nearest rank); `sorted` is in ascending order.
fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// Slope of the straight line through the points (x, y) that has the least squared error; `None` if all x are the same.
pub(super) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (x, y) in points {
        covariance += (x - mean_x) * (y - mean_y);
        variance += (x - mean_x).powi(2);
    }
    (variance > 0.0).then(|| covariance / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let of = |values: &[f64]| Distribution::of(values.to_vec());
        assert_eq!(of(&[]), None);
        let one = Distribution { count: 1, mean: 7.0, p50: 7.0, p95: 7.0, p99: 7.0, max: 7.0 };
        assert_eq!(of(&[7.0]), Some(one));
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let expected = Distribution { count: 100, mean: 50.5, p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 };
        assert_eq!(of(&hundred), Some(expected));
        assert_eq!(of(&[1.0, 2.0, 3.0, 4.0]).map(|d| (d.p50, d.p95)), Some((2.0, 4.0)));
    }

    #[test]
    fn slopes_are_those_of_lines() {
        let line: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), 3.0 * f64::from(x) - 5.0)).collect();
        assert!((slope(&line).unwrap() - 3.0).abs() < 1e-12);
        // Worked by hand: means 2 and 3, covariance 3, variance 2.
        assert_eq!(slope(&[(1.0, 1.0), (2.0, 4.0), (3.0, 4.0)]), Some(1.5));
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 2.0)]), None);
        assert_eq!(slope(&[]), None);
    }
}
