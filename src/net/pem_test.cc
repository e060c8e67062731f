#include "net/pem.h"

#include <gtest/gtest.h>

#include <string>

namespace keles::net {
namespace {

std::string told(std::string_view text) {
  std::string out;
  for (const PemBlock& b : pem_blocks(text)) {
    if (!out.empty()) out += " ";
    out.append(b.label).append(b.headers ? "+" : "").append("[").append(b.text).append("]");
  }
  return out;
}

TEST(Pem, BlocksOfATextAreFoundAsTheyStand) {
  const std::string a = "-----BEGIN A-----\nQQ==\n-----END A-----",
                    b = "-----BEGIN B C-----\nProc-Type: 4,ENCRYPTED\n\nQQ==\n-----END B C-----";
  struct Row {
    std::string text, want;
  };
  const Row rows[] = {
      {"", ""},
      {"nothing", ""},
      {a, "A[" + a + "]"},
      {"before\n" + a + "\nbetween\n" + b + "\nbehind", "A[" + a + "] B C+[" + b + "]"},
      {a + a, "A[" + a + "] A[" + a + "]"},
      {"-----BEGIN A", ""},
      {"-----BEGIN A-----\nQQ==\n", ""},
      {"-----BEGIN A-----\nQQ==\n-----END B-----\n", ""},
      {"-----BEGIN A-----\nQQ==\n" + a, "A[" + a + "]"},  // cut off: the next one is whole
      {"-----BEGIN B-----\nQQ==\n" + a, "A[" + a + "]"},
      {"-----BEGIN -----\n-----END -----", "[-----BEGIN -----\n-----END -----]"},
  };
  for (const Row& r : rows) EXPECT_EQ(told(r.text), r.want) << r.text;
}

TEST(Pem, AThousandBlocksAreRead) {
  std::string text;
  for (int i = 0; i < 1100; ++i) text += "-----BEGIN A-----\n-----END A-----\n";
  EXPECT_EQ(pem_blocks(text).size(), 1000u);
}

}  // namespace
}  // namespace keles::net
