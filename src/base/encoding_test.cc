#include "base/encoding.h"

#include <gtest/gtest.h>

namespace keles {
namespace {

std::string all_bytes() {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  return all;
}

TEST(Base64, KnownTexts) {  // RFC 4648, section 10
  struct Row {
    const char *plain, *standard, *url;
  };
  for (const Row& row : {Row{"", "", ""},
                         {"f", "Zg==", "Zg"},
                         {"fo", "Zm8=", "Zm8"},
                         {"foo", "Zm9v", "Zm9v"},
                         {"foob", "Zm9vYg==", "Zm9vYg"},
                         {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                         {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                         {"\xff\xfe", "//4=", "__4"}}) {
    EXPECT_EQ(base64_encode(row.plain), row.standard);
    EXPECT_EQ(base64url_encode(row.plain), row.url);
    EXPECT_EQ(*base64_decode(row.standard), row.plain);
    EXPECT_EQ(*base64url_decode(row.url), row.plain);
  }
  for (size_t n = 0; n < 256; ++n) {
    const std::string bytes = all_bytes().substr(n);
    EXPECT_EQ(*base64_decode(base64_encode(bytes)), bytes);
    EXPECT_EQ(*base64url_decode(base64url_encode(bytes)), bytes);
  }
  EXPECT_EQ(*base64_decode("Zm9v\r\nYmFy\n"), "foobar");
}

// Where Go's decoder says that the text is wrong.
TEST(Base64, SaysWhereItIsWrong) {
  struct Row {
    const char* text;
    long at;
  };
  for (const Row& row : {Row{"Zg==", -1},
                         {"Z", 0},
                         {"Zg", 0},
                         {"Zm9vZm8", 4},
                         {"Zg=", 3},
                         {"Zg===", 4},
                         {"Zm9v=", 4},
                         {"Z*==", 1},
                         {"Zg=x", 3},
                         {"====", 0},
                         {"__4=", 0},
                         {"Zg==Zg==", 4}}) {
    EXPECT_EQ(base64_error(row.text), row.at) << row.text;
    auto decoded = base64_decode(row.text);
    EXPECT_EQ(decoded.ok(), row.at < 0) << row.text;
    if (!decoded.ok()) {
      EXPECT_EQ(decoded.status().message(),
                "illegal base64 data at input byte " + std::to_string(row.at));
    }
  }
  for (std::string_view bad : {"Z", "Zg==", "//4", "Zg=", "Zm9vY"})
    EXPECT_FALSE(base64url_decode(bad).ok()) << bad;
}

TEST(Percent, EncodesAllButTheUnreserved) {
  EXPECT_EQ(percent_encode("aZ09-_.~"), "aZ09-_.~");
  EXPECT_EQ(percent_encode("a b/c+%\xff"), "a%20b%2Fc%2B%25%FF");
  EXPECT_EQ(percent_encode("a:b/c", ":"), "a:b%2Fc");
}

TEST(Percent, DecodesOrRefuses) {
  EXPECT_EQ(percent_decode("a%20b%2fc+%C3%A9"), "a b/c+\xc3\xa9");
  EXPECT_EQ(percent_decode("a+b%2B", true), "a b+");
  for (std::string_view bad : {"%", "%4", "%4g", "%g4", "abc%", "%%41"}) {
    EXPECT_FALSE(percent_decode(bad)) << bad;
  }
  EXPECT_EQ(percent_decode_leniently("%41%4g%%42%"), "A%4g%B%");
  EXPECT_EQ(percent_decode(percent_encode(all_bytes())), all_bytes());
}

TEST(Quoting, AsGoDoes) {
  struct Row {
    std::string_view text, quoted;
  };
  for (const Row& row : {
           Row{"", R"("")"},
           {"plain text", R"("plain text")"},
           {"a\"b\\c", R"("a\"b\\c")"},
           {"\a\b\f\n\r\t\v", R"("\a\b\f\n\r\t\v")"},
           {std::string_view("\0\x01\x1b\x7f", 4), R"("\x00\x01\x1b\x7f")"},
           {"caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x9a\xa2",
            "\"caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x9a\xa2\""},
           {"\xff\xc3", R"("\xff\xc3")"},                  // no UTF-8
           {"\xc0\xaf", R"("\xc0\xaf")"},                  // too long a form
           {"\xed\xa0\x80", R"("\xed\xa0\x80")"},          // a surrogate
           {"\xf5\x80\x80\x80", R"("\xf5\x80\x80\x80")"},  // beyond Unicode
           {"\xc2\xa0\xe2\x80\xa8\xef\xbb\xbf", R"("\u00a0\u2028\ufeff")"},
           {"\xf3\xa0\x80\x81", R"("\U000e0001")"},
       }) {
    EXPECT_EQ(quoted(row.text), row.quoted);
  }
  std::string out = "k=";
  append_quoted(out, "v\n");
  EXPECT_EQ(out, R"(k="v\n")");
}

TEST(Fnv1a, KnownValues) {
  EXPECT_EQ(fnv1a_32(""), 0x811c9dc5u);
  EXPECT_EQ(fnv1a_32("a"), 0xe40c292cu);
  EXPECT_EQ(fnv1a_32("foobar"), 0xbf9cf968u);
  EXPECT_EQ(fnv1a_64("foobar"), 0x85944171f73967e8u);
  EXPECT_EQ(fnv1a_32("bar", fnv1a_32("foo")), fnv1a_32("foobar"));
}

}  // namespace
}  // namespace keles
