//! Where the moon and the sun stand: new moons, and the sun's longitude, as far as the lunar calendar needs them.
//!
//! Formulae of Jean Meeus, *Astronomical Algorithms*, 2nd edition: chapter 49 with all its terms for the new moon (a few
//! seconds), chapter 25 of lower accuracy for the sun (0.01 degrees, a quarter of an hour). Knows no calendar: days are counted
//! from 1970-01-01, and begin at midnight of UTC+7, before [`UTC_7_FROM`] at midnight of UTC+8.

use super::VIET_NAM_OFFSET_MINUTES;

/// The first day, 1968-01-29, of the lunar calendar at UTC+7.
pub(super) const UTC_7_FROM: i32 = -703;
/// Minutes east of UTC before.
const OFFSET_BEFORE: i32 = 8 * 60;

/// Julian date of 1970-01-01, 0h UT.
const EPOCH_JD: f64 = 2_440_587.5;
/// Julian date of 2000-01-01, 12h, from which the formulae count.
const J2000: f64 = 2_451_545.0;
/// Mean length of a lunation in days, and the Julian date of new moon 0, in January 2000.
const LUNATION: f64 = 29.530_588_861;
const NEW_MOON_0: f64 = 2_451_550.097_66;

/// The day on which the moon is new for the `k`-th time after January 2000.
pub(super) fn new_moon_day(k: i32) -> i32 {
    let moment = new_moon(k);
    let universal = moment - delta_t(moment) / 86_400.0;
    let day = |offset: i32| (universal - EPOCH_JD + f64::from(offset) / 1_440.0).floor() as i32;
    match day(OFFSET_BEFORE) {
        // On the first day at UTC+7 itself it was the next one at UTC+8.
        before if before < UTC_7_FROM => before,
        _ => day(VIET_NAM_OFFSET_MINUTES),
    }
}

/// The number of the last new moon that is not after `day`.
pub(super) fn last_new_moon(day: i32) -> i32 {
    let mean = ((f64::from(day) + EPOCH_JD - NEW_MOON_0) / LUNATION).floor() as i32;
    // A true new moon is within 15 hours of the mean one, so that the number is out by one at most.
    [mean + 1, mean].into_iter().find(|k| new_moon_day(*k) <= day).unwrap_or(mean - 1)
}

/// In which twelfth of its yearly way the sun stands as `day` begins: 0 from the March equinox on, 9 from the winter solstice.
pub(super) fn solar_sector(day: i32) -> u8 {
    let offset = if day < UTC_7_FROM { OFFSET_BEFORE } else { VIET_NAM_OFFSET_MINUTES };
    let universal = f64::from(day) + EPOCH_JD - f64::from(offset) / 1_440.0;
    // rem_euclid(360) may round up to 360.
    ((sun_longitude(universal + delta_t(universal) / 86_400.0) / 30.0).floor() as u8).min(11)
}

/// Julian ephemeris date of new moon `k` (chapter 49).
fn new_moon(k: i32) -> f64 {
    let k = f64::from(k);
    let t = k / 1_236.85;
    let (t2, t3, t4) = (t * t, t * t * t, t * t * t * t);
    let mean = NEW_MOON_0 + LUNATION * k + 0.000_154_37 * t2 - 0.000_000_150 * t3 + 0.000_000_000_73 * t4;
    let e = 1.0 - 0.002_516 * t - 0.000_007_4 * t2;
    let sun = 2.5534 + 29.105_356_70 * k - 0.000_001_4 * t2 - 0.000_000_11 * t3;
    let moon = 201.5643 + 385.816_935_28 * k + 0.010_758_2 * t2 + 0.000_012_38 * t3 - 0.000_000_058 * t4;
    let latitude = 160.7108 + 390.670_502_84 * k - 0.001_611_8 * t2 - 0.000_002_27 * t3 + 0.000_000_011 * t4;
    let node = 124.7746 - 1.563_755_88 * k + 0.002_067_2 * t2 + 0.000_002_15 * t3;

    let terms = NEW_MOON_TERMS.iter().map(|&(amplitude, of_sun, of_moon, of_latitude)| {
        let damped = amplitude * e.powi(i32::from(of_sun.abs()).min(2));
        // In the book the last terms, of 0.000 07 days and less, carry no E: it changes them by hundredths of a second.
        damped * sin(f64::from(of_sun) * sun + f64::from(of_moon) * moon + f64::from(of_latitude) * latitude)
    });
    let planets = PLANET_TERMS.iter().map(|&(amplitude, start, step)| amplitude * sin(start + step * k));
    let first_planet = 0.000_325 * sin(299.77 + 0.107_408 * k - 0.009_173 * t2);
    mean + terms.sum::<f64>() - 0.000_17 * sin(node) + first_planet + planets.sum::<f64>()
}

/// Days, and multiples of the sun's anomaly, the moon's anomaly and the moon's argument of latitude.
const NEW_MOON_TERMS: [(f64, i8, i8, i8); 24] = [
    (-0.407_20, 0, 1, 0),
    (0.172_41, 1, 0, 0),
    (0.016_08, 0, 2, 0),
    (0.010_39, 0, 0, 2),
    (0.007_39, -1, 1, 0),
    (-0.005_14, 1, 1, 0),
    (0.002_08, 2, 0, 0),
    (-0.001_11, 0, 1, -2),
    (-0.000_57, 0, 1, 2),
    (0.000_56, 1, 2, 0),
    (-0.000_42, 0, 3, 0),
    (0.000_42, 1, 0, 2),
    (0.000_38, 1, 0, -2),
    (-0.000_24, -1, 2, 0),
    (-0.000_07, 2, 1, 0),
    (0.000_04, 0, 2, -2),
    (0.000_04, 3, 0, 0),
    (0.000_03, 1, 1, -2),
    (0.000_03, 0, 2, 2),
    (-0.000_03, 1, 1, 2),
    (0.000_03, -1, 1, 2),
    (-0.000_02, -1, 1, -2),
    (-0.000_02, 1, 3, 0),
    (0.000_02, 0, 4, 0),
];

/// Days, and degrees at new moon 0 and for each new moon.
const PLANET_TERMS: [(f64, f64, f64); 13] = [
    (0.000_165, 251.88, 0.016_321),
    (0.000_164, 251.83, 26.651_886),
    (0.000_126, 349.42, 36.412_478),
    (0.000_110, 84.66, 18.206_239),
    (0.000_062, 141.74, 53.303_771),
    (0.000_060, 207.14, 2.453_732),
    (0.000_056, 154.84, 7.306_860),
    (0.000_047, 34.52, 27.261_239),
    (0.000_042, 207.19, 0.121_824),
    (0.000_040, 291.34, 1.844_379),
    (0.000_037, 161.72, 24.198_154),
    (0.000_035, 239.56, 25.513_099),
    (0.000_023, 331.55, 3.592_518),
];

/// The sun's apparent longitude in degrees, 0 to 360, at a Julian ephemeris date (chapter 25).
fn sun_longitude(moment: f64) -> f64 {
    let t = (moment - J2000) / 36_525.0;
    let mean = 280.466_46 + 36_000.769_83 * t + 0.000_303_2 * t * t;
    let anomaly = 357.529_11 + 35_999.050_29 * t - 0.000_153_7 * t * t;
    let centre = (1.914_602 - 0.004_817 * t - 0.000_014 * t * t) * sin(anomaly)
        + (0.019_993 - 0.000_101 * t) * sin(2.0 * anomaly)
        + 0.000_289 * sin(3.0 * anomaly);
    let apparent = mean + centre - 0.005_69 - 0.004_78 * sin(125.04 - 1_934.136 * t);
    apparent.rem_euclid(360.0)
}

/// Seconds by which uniform time is ahead of the turning earth (Espenak and Meeus 2006; good to some seconds until 2060).
fn delta_t(moment: f64) -> f64 {
    let year = 2000.0 + (moment - J2000) / 365.25;
    if year < 1900.0 {
        let t = year - 1860.0;
        7.62 + t * (0.5737 + t * (-0.251_754 + t * (0.016_806_68 + t * (-0.000_447_362_4 + t / 233_174.0))))
    } else if year < 1920.0 {
        let t = year - 1900.0;
        -2.79 + t * (1.494_119 + t * (-0.059_893_9 + t * (0.006_196_6 - t * 0.000_197)))
    } else if year < 1941.0 {
        let t = year - 1920.0;
        21.20 + t * (0.844_93 + t * (-0.076_100 + t * 0.002_093_6))
    } else if year < 1961.0 {
        let t = year - 1950.0;
        29.07 + t * (0.407 + t * (-1.0 / 233.0 + t / 2_547.0))
    } else if year < 1986.0 {
        let t = year - 1975.0;
        45.45 + 1.067 * t - t * t / 260.0 - t * t * t / 718.0
    } else if year < 2005.0 {
        let t = year - 2000.0;
        63.86 + t * (0.3345 + t * (-0.060_374 + t * (0.001_727_5 + t * (0.000_651_814 + t * 0.000_023_735_99))))
    } else if year < 2050.0 {
        let t = year - 2000.0;
        62.92 + 0.322_17 * t + 0.005_589 * t * t
    } else {
        let t = (year - 1820.0) / 100.0;
        -20.0 + 32.0 * t * t - 0.5628 * (2150.0 - year)
    }
}

fn sin(degrees: f64) -> f64 {
    degrees.to_radians().sin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_examples_come_out() {
        // Example 49.a: new moon of February 1977.
        assert!((new_moon(-283) - 2_443_192.651_18).abs() < 0.000_01);
        // Example 25.a: 1992 October 13, 0h TD.
        assert!((sun_longitude(2_448_908.5) - 199.908_95).abs() < 0.000_01);
        // Table 10.A, seconds.
        for (year, seconds) in [
            (1900.0, -2.8),
            (1920.0, 21.2),
            (1940.0, 24.3),
            (1950.0, 29.1),
            (1970.0, 40.2),
            (1990.0, 56.9),
            (2000.0, 63.8),
        ] {
            assert!((delta_t(J2000 + (year - 2000.0) * 365.25) - seconds).abs() < 0.5, "{year}");
        }
    }

    #[test]
    fn new_moons_are_counted_without_a_gap() {
        for k in -1240..1250 {
            let day = new_moon_day(k);
            assert_eq!((last_new_moon(day), last_new_moon(day - 1)), (k, k - 1));
            assert!((29..=30).contains(&(new_moon_day(k + 1) - day)));
        }
    }
}
