// What the name of a metric says: EXCHANGE:PAIR, of which the end is what is paid with.

// Longer ones go first: a pair that ends with USDT ends with T, too. A pair of none of them has its quote unknown.
const QUOTES = [
  "FDUSD", "TUSD", "USDT", "USDC", "BUSD", "USDE", "USD1", "PYUSD", "RLUSD", "USDD", "EURC", "EURI", "EURT", "USD", "EUR", "GBP", "CHF", "JPY", "CAD", "AUD", "TRY",
  "BRL", "KRW", "PLN", "ZAR", "MXN", "ARS", "UAH", "RUB", "IDR", "INR", "DAI", "BTC", "XBT", "ETH", "BNB", "SOL", "TRX", "XRP", "KCS", "DOGE",
].sort((one, other) => other.length - one.length);

/** Return `{ exchange, pair, quote }`; `quote` is empty where it is not known. */
export function readName(metric) {
  const at = metric.indexOf(":"), exchange = metric.slice(0, Math.max(at, 0)), pair = metric.slice(at + 1);
  return { exchange, pair, quote: QUOTES.find((each) => pair.length > each.length && pair.endsWith(each)) ?? "" };
}
