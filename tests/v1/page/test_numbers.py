"""Numbers as people read them: what each function of the page's format/numbers.js writes."""

from tests.support.browsing import Browser
from tests.support.serving import Api

THIN, MINUS = "\u202f", "−"
CASES = {
    "writePlain": {
        "1.08e-05": "0.0000108",
        "1.5E+9": "1500000000",
        "-1.50e1": "-15.0",
        "0.10": "0.10",
        "12345678901234567890.123456789": "12345678901234567890.123456789",
    },
    "writeExact": {
        "47439.10": f"47{THIN}439.10",
        "-1234567.000": f"{MINUS}1{THIN}234{THIN}567.000",
        "999": "999",
        "1e3": f"1{THIN}000",
        "": "–",
    },
    "writePrice": {
        "0.0000000028925": "0.0₈28925",
        "0.00028": "0.00028",
        "0.000028": "0.0₄28",
        "-0.0000108": f"{MINUS}0.0₄108",
        "0.00000000000000000000012": "0.0₂₁12",
        "1.00000": "1.00000",
        "0": "0",
    },
    "writeAmount": {
        "999": "999",
        "999.6": f"1{THIN}k",
        "1234": f"1.23{THIN}k",
        "999499": f"999{THIN}k",
        "68130148004.21379": f"68.1{THIN}B",
        "-2500000": f"{MINUS}2.5{THIN}M",
        "3e12": f"3{THIN}T",
        "0": "0",
    },
    "writePercent": {
        "1.254": f"▲{THIN}+1.25{THIN}%",
        "-0.5": f"▼{THIN}{MINUS}0.50{THIN}%",
        "0.001": f"●{THIN}0.00{THIN}%",
        "-0.004": f"●{THIN}0.00{THIN}%",
        "": "–",
    },
    "writeRatio": {"4.2": f"4.20{THIN}×", "42.55": f"42.5{THIN}×", "421": f"421{THIN}×", "": "–"},
    "judgeChange": {"0.1": "up", "-0.1": "down", "0": "flat", "": "flat"},
}


async def test_numbers_are_written_as_people_read_them_and_digits_are_kept(api: Api, browser: Browser):
    await browser.page.goto(f"{api.url}/status")

    written = await browser.page.evaluate(
        """async (cases) => {
            const numbers = await import(new URL("page/format/numbers.js", location.origin + "/"));
            return Object.fromEntries(Object.entries(cases).map(([name, texts]) =>
                [name, Object.fromEntries(Object.keys(texts).map((text) => [text, numbers[name](text)]))]));
        }""",
        CASES,
    )

    assert written == CASES


async def test_numbers_are_read_with_all_their_digits(api: Api, browser: Browser):
    await browser.page.goto(f"{api.url}/status")

    read = await browser.page.evaluate(
        """async () => {
            const { readExactly } = await import(new URL("page/format/numbers.js", location.origin + "/"));
            return readExactly('{"a": 0.100, "b": [12345678901234567890.10, -0, null, "7", true]}');
        }"""
    )

    assert read == {"a": "0.100", "b": ["12345678901234567890.10", "-0", None, "7", True]}
