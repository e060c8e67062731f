#include "base/host_port.h"

#include <gtest/gtest.h>

namespace keles {
namespace {

TEST(HostPort, OnlyAddressesWithColonsStandInBrackets) {
  EXPECT_EQ(url_host("example.com"), "example.com");
  EXPECT_EQ(url_host("fd00::1"), "[fd00::1]");
  EXPECT_EQ(host_port("10.0.0.1", 443), "10.0.0.1:443");
  EXPECT_EQ(host_port("::", 80), "[::]:80");
  EXPECT_EQ(host_port("", 8080), ":8080");
}

}  // namespace
}  // namespace keles
