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
      {"1E3", "1e3"},
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
      {"+2", "2"},
      {"007", "7"},
      {"1.", "1"},
      {"1000000", "1M"},
      {"1234567", "1234567"},
      {"0.1Ki", "102400m"},
      {"5G", "5G"},
      {"12e6", "12e6"},
      {"1000k", "1M"},
      {"9223372036854775807", "9223372036854775807"},
      {"99999999999999999999", "9223372036854775807"},
      {"1e-3", "1e-3"},
      {"0Gi", "0"},
      {"100E", "100E"},
  };
  for (const auto& c : cases) {
    auto r = canonical_quantity(c.in);
    ASSERT_TRUE(r.ok()) << c.in;
    EXPECT_EQ(*r, c.out) << c.in;
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
  for (const char* s : {"1i", "0.1mi", "-3.01i", "1Kii", "-3.01e-", "1K"}) {
    auto r = Quantity::parse(s);
    ASSERT_FALSE(r.ok()) << s;
    EXPECT_EQ(r.status().message(), "unable to parse quantity's suffix") << s;
  }
}

TEST(Quantity, Arithmetic) {
  auto q = [](const char* s) { return Quantity::parse_or_zero(s); };
  EXPECT_EQ(q("1100m").value(), 2);
  EXPECT_EQ(q("-1100m").value(), -2);
  EXPECT_EQ(q("0.1m").milli_value(), 1);
  EXPECT_EQ(q("1Gi").value(), 1 << 30);
  EXPECT_EQ((q("100m") + q("1")).to_string(), "1100m");
  EXPECT_EQ((q("1Gi") - q("512Mi")).to_string(), "512Mi");
  EXPECT_EQ((Quantity() + q("1Gi")).to_string(), "1Gi");
  EXPECT_TRUE(q("1Gi") > q("1G"));
  EXPECT_TRUE(q("1000m") == q("1"));
  EXPECT_EQ(Quantity::from_int(1 << 20, Quantity::Format::kBinarySI).to_string(), "1Mi");
  EXPECT_EQ(Quantity::from_milli(250).to_string(), "250m");
}

}  // namespace
}  // namespace keles
