// The tests of a layer in one program. Called by the name of some of them (a link to it, see
// together.cmake) it runs these; by its own, or with a filter, what it is told to.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>

struct TestSource {
  const char *test, *source;
};
extern const TestSource kTestSources[];  // ends with nulls

namespace {

bool is_of(std::string_view test, std::string_view file) {
  for (const TestSource* s = kTestSources; s->test; ++s) {
    if (test == s->test && file.ends_with(std::string("/") + s->source)) return true;
  }
  return false;
}

bool is_known(std::string_view test) {
  for (const TestSource* s = kTestSources; s->test; ++s) {
    if (test == s->test) return true;
  }
  return false;
}

// The filter that lets through what the sources of `test` have.
std::string filter_of(std::string_view test) {
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  std::string out;
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *all.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const testing::TestInfo& info = *suite.GetTestInfo(j);
      if (!is_of(test, info.file())) continue;
      out.append(out.empty() ? "" : ":").append(suite.name()).append(".").append(info.name());
    }
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::string_view name = argv[0];
  name.remove_prefix(name.rfind('/') + 1);
  if (is_known(name) && GTEST_FLAG_GET(filter) == "*") {
    const std::string filter = filter_of(name);
    if (filter.empty()) {
      std::fprintf(stderr, "%s: no test is of its sources\n", argv[0]);
      return 1;
    }
    GTEST_FLAG_SET(filter, filter);
  }
  return RUN_ALL_TESTS();
}
