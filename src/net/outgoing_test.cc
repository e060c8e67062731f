#include "net/outgoing.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace keles::net {
namespace {

TEST(Outgoing, SmallAndLarge) {
  Outgoing out;
  std::string expected, got;
  auto large = std::make_shared<const std::string>(std::string(5000, 'L') + std::string(5000, 'M'));
  for (int i = 0; i < 300; ++i) {
    const std::string small = std::to_string(i) + ";" + std::string(i, 's');
    out.append(small);
    expected += small;
    if (i % 3 == 0) {
      out.append(large, 100, 6000);
      expected += large->substr(100, 6000);
    }
    // Less leaves than comes, until the end.
    iovec v[4];
    const int n = out.pieces(v, 4);
    size_t taken = 0;
    for (int k = 0; k < n && taken < 777; ++k) {
      const size_t part = std::min<size_t>(777 - taken, v[k].iov_len);
      got.append(static_cast<char*>(v[k].iov_base), part);
      taken += part;
    }
    out.sent(taken);
  }
  while (!out.empty()) {
    iovec v;
    ASSERT_EQ(out.pieces(&v, 1), 1);
    got.append(static_cast<char*>(v.iov_base), v.iov_len);
    out.sent(v.iov_len);
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(out.bytes(), 0u);
}

}  // namespace
}  // namespace keles::net
