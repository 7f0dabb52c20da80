"""Decimal text and exact integers, against JSON's own grammar and the fractions of the standard library."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as some

from v1.numbers import decimals

plain_texts = some.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?", fullmatch=True, alphabet="-.0123456789")
exponents = some.integers(-60, 60).flatmap(lambda e: some.sampled_from([f"e{e}", f"E{e}", f"e{e:+}", f"e{e:+04}"]))
texts = some.one_of(plain_texts, some.builds(str.__add__, plain_texts, exponents))
numbers = some.tuples(some.integers(-(10**30), 10**30), some.integers(0, 40))


def fraction(number: decimals.Number) -> Fraction:
    units, places = number
    return Fraction(units, 10**places)


@pytest.mark.parametrize(
    "text",
    ["0", "-0", "7", "-7", "0.0", "46572.17000", "0.000000000000000001", "1e5", "1E+05", "1.08e-05", "1e60", "1e-60"],
)
def test_what_json_calls_a_number_is_a_number(text):
    assert decimals.is_number(text)


@pytest.mark.parametrize(
    "text",
    [
        *["", " ", "-", ".", ".5", "1.", "+1", "--1", "01", "-01", "1e", "1e+", "e5", "1.e5", "1 ", " 1", "1\n"],
        *["1,000", "1_000", "0x10", "1/2", "NaN", "nan", "Infinity", "-inf", "null", "１", "١", "1²"],
    ],
)
def test_what_json_does_not_call_a_number_is_none(text):
    assert not decimals.is_number(text)


@pytest.mark.parametrize("thing", [None, True, 1, 1.5, b"1", ["1"], Fraction(1)], ids=repr)
def test_only_text_is_a_number(thing):
    assert not decimals.is_number(thing)


@pytest.mark.parametrize("text", ["1e61", "1e-61", "1e999", "1e999999999", "1" * 61, "0." + "0" * 59])
def test_a_number_out_of_bounds_is_refused_before_it_can_fill_the_memory(text):
    assert not decimals.is_number(text)


@pytest.mark.parametrize("text", ["1" * 60, "0." + "0" * 58, "-1e-60", "9" * 56 + "e-60"])
def test_a_number_at_the_bounds_is_kept(text):
    assert decimals.is_number(text)


@given(texts)
def test_every_number_that_is_kept_can_stand_in_a_json_answer_as_it_is(text):
    assert decimals.is_number(text)
    assert Fraction(json.loads(text, parse_float=str, parse_int=str)) == Fraction(text)


@given(some.text(alphabet="0123456789.eE+- \n_", max_size=12))
def test_what_is_kept_is_json_and_what_is_json_is_kept(text):
    try:
        json.loads(text)
        is_json = text.strip() == text and abs(int(text.lower().partition("e")[2] or 0)) <= 60
    except ValueError:
        is_json = False

    assert decimals.is_number(text) == is_json


@given(texts)
def test_a_parsed_number_is_exactly_the_text(text):
    units, places = decimals.parse_decimal(text)

    assert places >= 0
    assert Fraction(units, 10**places) == Fraction(text)


@given(plain_texts.filter(lambda text: not (text.startswith("-") and Fraction(text) == 0)))
def test_a_number_without_exponent_comes_back_digit_for_digit(text):
    assert decimals.format_decimal(decimals.parse_decimal(text)) == text


@pytest.mark.parametrize(
    "number, written",
    [
        ((1230, 2), "12.30"),
        ((0, 0), "0"),
        ((0, 3), "0.000"),
        ((5, 3), "0.005"),
        ((-5, 3), "-0.005"),
        ((-120, 1), "-12.0"),
    ],
)
def test_all_places_of_a_number_are_written(number, written):
    assert decimals.format_decimal(number) == written


@given(texts)
def test_plain_says_the_same_number_without_an_exponent(text):
    plain = decimals.remove_exponent(text)

    assert "e" not in plain.lower()
    assert Fraction(plain) == Fraction(text)


@pytest.mark.parametrize(
    "text, plain", [("1.08e-05", "0.0000108"), ("-2E3", "-2000"), ("1.50", "1.50"), ("-0.0", "-0.0"), ("0e5", "0")]
)
def test_plain_touches_nothing_but_the_exponent(text, plain):
    assert decimals.remove_exponent(text) == plain


@given(texts, some.integers(-30, 30))
def test_a_shift_is_a_multiplication_by_a_power_of_ten(text, by):
    assert Fraction(decimals.shift_point(text, by)) == Fraction(text) * Fraction(10) ** by


@pytest.mark.parametrize(
    "text, by, shifted", [("0.00662", 2, "0.662"), ("1.50", 1, "15.0"), ("1.50", 4, "15000"), ("15", -3, "0.015")]
)
def test_a_shift_moves_the_point_and_loses_no_digit(text, by, shifted):
    assert decimals.shift_point(text, by) == shifted


@given(numbers, numbers)
def test_a_difference_is_exact(left, right):
    assert fraction(decimals.subtract(left, right)) == fraction(left) - fraction(right)


@given(numbers, numbers.filter(lambda number: number[0] != 0), some.integers(0, 12))
def test_a_ratio_is_rounded_half_to_even_at_its_places(numerator, denominator, places):
    exact = fraction(numerator) / fraction(denominator)

    written = decimals.divide_rounded(numerator, denominator, places)

    assert Fraction(written) == Fraction(round(exact * 10**places), 10**places)
    assert len(written.partition(".")[2]) == places


@pytest.mark.parametrize(
    "numerator, denominator, written",
    [((1, 0), (8, 0), "0.12"), ((3, 0), (8, 0), "0.38"), ((-1, 0), (8, 0), "-0.12"), ((1, 0), (-8, 0), "-0.12")],
)
def test_a_ratio_in_the_middle_goes_to_the_even_side_whatever_its_sign(numerator, denominator, written):
    assert decimals.divide_rounded(numerator, denominator, 2) == written
