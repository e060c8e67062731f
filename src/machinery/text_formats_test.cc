// Formats of texts and regular expressions, as Go's libraries judge them.
#include "machinery/text_formats.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "machinery/pattern.h"

namespace keles {
namespace {

struct Case {
  std::string_view format;
  std::vector<std::string_view> good, bad;
};

TEST(TextFormats, EachTakesAndRefuses) {
  const Case cases[] = {
      {"bsonobjectid", {"507f1f77bcf86cd799439011"}, {"507f1f77bcf86cd79943901", "x"}},
      {"uri",
       {"http://a.example/b?c#d", "/path", "mailto:a@b", "*", "http://[::1]:80/", "a+b.c-d:x",
        "http://a:80"},
       {"", "relative", "http://a b/", "http://a:port/", "/a%zz", ":x", "http://[::1/", "1a:b"}},
      {"email",
       {"a@b", "a.b+c@example.com", "Jane Doe <jane@example.com>", "\"a b\"@c", "<a@b>",
        "(x) a@b (y)", "a@[127.0.0.1]", "ä@ö"},
       {"", "a", "a@", "@b", "a..b@c", ".a@b", "a@b c", "a@b, c@d", "Jane <a@b", "\"\"@c"}},
      {"hostname", {"a", "example.com", "1a.example.com", "a-b.co"}, {"", "-a", "a_b.com", "a b"}},
      {"ipv4", {"10.0.0.1", "010.0.0.1"}, {"", "10.0.0", "::1", "10.0.0.256"}},
      {"ipv6", {"::1", "fe80::1", "::ffff:10.0.0.1"}, {"", "10.0.0.1", "g::1", "::1%eth0"}},
      {"cidr", {"10.0.0.0/8", "::/0", "10.0.0.1/24"}, {"", "10.0.0.0", "10.0.0.0/33"}},
      {"mac",
       {"01:23:45:67:89:ab", "01-23-45-67-89-AB", "0123.4567.89ab", "01:23:45:67:89:ab:cd:ef"},
       {"", "01:23:45:67:89", "01:23-45:67:89:ab", "0123456789ab", "01:23:45:67:89:ag"}},
      {"uuid",
       {"a8098c1a-f86e-11da-bd1a-00112444be1e", "A8098C1AF86E11DABD1A00112444BE1E"},
       {"", "a8098c1a-f86e-11da-bd1a-00112444be1", "a8098c1a--f86e-11da-bd1a-00112444be1e"}},
      {"uuid3", {"bcd02e22-68f0-3046-a512-327cca9def8f"}, {"bcd02e22-68f0-4046-a512-327cca9def8f"}},
      {"uuid4", {"025b0d74-00a2-4048-bf57-227c5111bb34"}, {"025b0d74-00a2-4048-cf57-227c5111bb34"}},
      {"uuid5", {"886313e1-3b8a-5372-9b90-0c9aee199e5d"}, {"886313e1-3b8a-4372-9b90-0c9aee199e5d"}},
      {"isbn", {"0321751043", "978-0321751041"}, {"0321751042", "9780321751042", "1"}},
      {"isbn10", {"0321751043", "048665088X"}, {"978-0321751041"}},
      {"isbn13", {"978-0321751041"}, {"0321751043"}},
      {"creditcard", {"4111-1111-1111-1111"}, {"4111-1111-1111-1112", "1"}},
      {"ssn", {"111-11-1111", "111 11 1111"}, {"111111111", "11-111-1111"}},
      {"hexcolor", {"#fff", "A0b1C2"}, {"#ffff", "", "ggg"}},
      {"rgbcolor", {"rgb(1, 255 ,0)"}, {"rgb(1,256,0)", "rgb(1,2)", "RGB(1,2,3)"}},
      {"byte", {"aGVsbG8=", "YQ==", "YWJj"}, {"", "YQ=", "Y", "YQ==YQ==", "a-_="}},
      {"password", {"", "anything"}, {}},
      {"date", {"2024-02-29", "1999-12-31"}, {"2023-02-29", "2024-13-01", "24-01-01", "2024-1-01"}},
      {"date-time",
       {"2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20z", "2014-12-15T19:30:20+02:00"},
       {"2014-12-15", "2014-12-15T24:30:20Z", "2014-12-15T19:60:20Z", "2014-12-15 19:30:20Z",
        "2014-12-15T19:30:20"}},
      {"duration",
       {"1h2m", "0", "22 ns", "3 days", "1.5h", "2 WEEKS"},
       {"", "h", "5", "3 parsecs", "99999999999999999999 s"}},
      {"k8s-short-name", {"a", "a-1"}, {"", "A", "-a", "a-", "a.b"}},
      {"k8s-long-name", {"a.b", "a-1.c"}, {"", "a..b", "A.b", "a.b-"}},
  };
  for (const Case& c : cases) {
    const TextFormat* f = find_text_format(c.format);
    ASSERT_NE(f, nullptr) << c.format;
    for (std::string_view s : c.good) EXPECT_TRUE(f->valid(s)) << c.format << ": " << s;
    for (std::string_view s : c.bad) EXPECT_FALSE(f->valid(s)) << c.format << ": " << s;
  }
  EXPECT_EQ(find_text_format("int32"), nullptr);
  EXPECT_EQ(find_text_format("colour"), nullptr);
}

TEST(TextFormats, NamesHaveTheirLimits) {
  EXPECT_TRUE(find_text_format("k8s-short-name")->valid(std::string(63, 'a')));
  EXPECT_FALSE(find_text_format("k8s-short-name")->valid(std::string(64, 'a')));
  EXPECT_FALSE(find_text_format("k8s-long-name")->valid(std::string(254, 'a')));
  EXPECT_FALSE(find_text_format("hostname")->valid(std::string(64, 'a') + ".com"));
}

TEST(Pattern, MatchesAnywhereAndKnowsUnicode) {
  EXPECT_TRUE(Pattern("b+").matches("abbc"));
  EXPECT_FALSE(Pattern("^b").matches("abbc"));
  EXPECT_TRUE(Pattern("^.$").matches("ä"));
  EXPECT_TRUE(Pattern(R"(^\p{L}+$)").matches("äöü"));
  EXPECT_FALSE(Pattern("(").matches("("));
  // What takes other engines for ever.
  EXPECT_FALSE(Pattern("^(a+)+$").matches(std::string(50'000, 'a') + "b"));
}

// Those of one text share what is compiled, which outlives none of its holders.
TEST(Pattern, ManyOfOneText) {
  auto first = std::make_unique<Pattern>("^x{1,3}$");
  {
    Pattern second("^x{1,3}$"), unused("^x{1,3}$");
    EXPECT_TRUE(first->matches("xx"));
    EXPECT_TRUE(second.matches("xxx"));
    EXPECT_FALSE(second.matches("xxxx"));
  }
  EXPECT_TRUE(first->matches("x"));
  first.reset();
  EXPECT_TRUE(Pattern("^x{1,3}$").matches("x"));
}

TEST(Pattern, ErrorsAreGos) {
  const std::pair<const char*, const char*> cases[] = {
      {"a", ""},
      {"[a", "error parsing regexp: missing closing ]: `[a`"},
      {"(a", "error parsing regexp: missing closing ): `(a`"},
      {"a)", "error parsing regexp: unexpected ): `a)`"},
      {"*", "error parsing regexp: missing argument to repetition operator: `*`"},
      {"a**", "error parsing regexp: invalid nested repetition operator: `**`"},
      {"a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"},
      {"(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
      {"[b-a]", "error parsing regexp: invalid character class range: `b-a`"},
      {"\\8", "error parsing regexp: invalid escape sequence: `\\8`"},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(Pattern::error_of(text), want) << text;
}

}  // namespace
}  // namespace keles
