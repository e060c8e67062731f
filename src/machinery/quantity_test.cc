#include "machinery/quantity.h"

#include <gtest/gtest.h>

namespace keles {
namespace {

TEST(Quantity, CanonicalForm) {
  struct {
    const char *in, *out;
  } cases[] = {
      {"0", "0"},
      {"1000m", "1"},
      {"0.5", "500m"},
      {"1.5Gi", "1536Mi"},
      {"1024Mi", "1Gi"},
      {"100m", "100m"},
      {"1e3", "1e3"},
      {"1.5e3", "1500"},
      {"1E", "1E"},
      {"1E3", "1E3"},
      {"1000", "1k"},
      {"1500", "1500"},
      {"0.0001", "100u"},
      {"1n", "1n"},
      {"0.1n", "1n"},
      {"1Ki", "1Ki"},
      {"512", "512"},
      {"0.5Ki", "512"},
      {"1023Ki", "1023Ki"},
      {"-1", "-1"},
      {"-1.5Gi", "-1536Mi"},
      {"+2", "+2"},
      {"007", "007"},
      {"1.", "1."},
      {"1000000", "1M"},
      {"1234567", "1234567"},
      {"0.1Ki", "102400m"},
      {"5G", "5G"},
      {"12e6", "12e6"},
      {"1000k", "1M"},
      {"9223372036854775807", "9223372036854775807"},
      {"99999999999999999999", "99999999999999999999"},
      {"1e-3", "1e-3"},
      {"0Gi", "0"},
      {"100E", "100E"},
      // Every binary suffix, its cap, and fractions of them.
      {"1Ei", "1Ei"},
      {"7Ei", "7Ei"},
      {"8Ei", "9223372036854775807"},
      {"9Ei", "9223372036854775807"},
      {"-9Ei", "-9223372036854775807"},
      {"9223372036854775807Ki", "9223372036854775807"},
      {"4Pi", "4Pi"},
      {"8192Pi", "9223372036854775807"},
      {"1024Pi", "1Ei"},
      {"100.035Ki", "102435840m"},
      {"0.05Gi", "53687091200m"},
      {"0.025Ti", "27487790694400m"},
      {"1.0000000000000000001Ei", "1152921504606846976115292151n"},
      {".001Ki", "1024m"},
      {".000001Ki", "1024u"},
      {".000000001Ki", "1024n"},
      {".000000000001Ki", "2n"},
      {"1.5Ei", "1536Pi"},
      // Decimals have no cap, whatever their suffix or exponent.
      {"12E", "12E"},
      {"123456789012345678901234567890", "123456789012345678901234567890"},
      {"12345678901234567890.5", "12345678901234567890500m"},
      {"1e21", "1e21"},
      {"1E22", "10e21"},
      {"1e400", "10e399"},
      {"5000E", "5000E"},
      {"1.01E", "1010P"},
      {"1e14", "100e12"},
      {"1.7E18", "1700e15"},
      {"0.5e-9", "1e-9"},
      {"1.1E-9", "2e-9"},
      {"1e-400", "1e-9"},
      {"3.001n", "4n"},
      {"0.00000012345", "124n"},
      {"0.9999999999", "1"},
      {"1.500", "1.500"},
      {"0.500", "500m"},
      {"1000m", "1"},
      {"1500m", "1500m"},
      {"100.035k", "100.035k"},
      {" 1 ", "1"},
      {".", "0"},
      {"-", "0"},
  };
  for (const auto& c : cases) {
    auto r = canonical_quantity(c.in);
    ASSERT_TRUE(r.ok()) << c.in;
    EXPECT_EQ(*r, c.out) << c.in;
  }
}

// A text means the same after it was brought into its form, and keeps it.
TEST(Quantity, CanonicalFormIsStable) {
  for (const char* digits : {"1", "7", "999", "1.5", "1024", "0.001", "12345678901234567890"}) {
    for (const char* suffix : {"",   "n",  "u",  "m",  "k",  "M",  "G",  "T",   "P",   "E",
                               "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E-3", "e+6", "e20"}) {
      std::string text = std::string(digits) + suffix;
      auto once = canonical_quantity(text);
      ASSERT_TRUE(once.ok()) << text;
      auto twice = canonical_quantity(*once);
      ASSERT_TRUE(twice.ok()) << text << " -> " << *once;
      EXPECT_EQ(*twice, *once) << text;
      EXPECT_EQ(Quantity::parse_or_zero(text), Quantity::parse_or_zero(*once)) << text;
    }
  }
}

TEST(Quantity, Errors) {
  const char* form =
      "quantities must match the regular expression "
      "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  for (const char* s : {"", "1.1.M", "1+1.0M", "0.1am", "aoeu", " 1", "1 ", "1mb", "-3.01e-x"}) {
    auto r = Quantity::parse(s);
    ASSERT_FALSE(r.ok()) << s;
    EXPECT_EQ(r.status().message(), form) << s;
  }
  for (const char* s :
       {"1i", "0.1mi", "-3.01i", "1Kii", "-3.01e-", "1K", "1e", "1e99999999999999999999"}) {
    auto r = Quantity::parse(s);
    ASSERT_FALSE(r.ok()) << s;
    EXPECT_EQ(r.status().message(), "unable to parse quantity's suffix") << s;
  }
}

Quantity sum(Quantity a, const Quantity& b) {
  a.add(b);
  return a;
}
Quantity difference(Quantity a, const Quantity& b) {
  a.sub(b);
  return a;
}

TEST(Quantity, Arithmetic) {
  auto q = [](const char* s) { return Quantity::parse_or_zero(s); };
  EXPECT_EQ(q("1100m").value(), 2);
  EXPECT_EQ(q("-1100m").value(), -2);
  EXPECT_EQ(q("0.1m").milli_value(), 1);
  EXPECT_EQ(q("1Gi").value(), 1 << 30);
  EXPECT_EQ(sum(q("100m"), q("1")).to_string(), "1100m");
  EXPECT_EQ(difference(q("1Gi"), q("512Mi")).to_string(), "512Mi");
  EXPECT_EQ(sum(Quantity(), q("1Gi")).to_string(), "1Gi");
  EXPECT_TRUE(q("1Gi") > q("1G"));
  EXPECT_TRUE(q("1000m") == q("1"));
  EXPECT_EQ(Quantity::from_int(1 << 20, Quantity::Format::kBinarySI).to_string(), "1Mi");
  EXPECT_EQ(Quantity::from_milli(250).to_string(), "250m");
}

}  // namespace
}  // namespace keles
