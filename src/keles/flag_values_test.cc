#include "keles/flag_values.h"

#include <gtest/gtest.h>

namespace keles {
namespace {

TEST(FlagValues, AreWhatWasGivenOrTheDefault) {
  std::string name = "kind", file;
  int64_t port = 6443, level = 0;
  bool on = true, off = false, quiet = false;
  Duration wait = 90s;
  std::vector<std::string> list, array, modes = {"Node", "RBAC"};
  Flags f("usage");
  f.add("name", &name, "cluster name", 'n');
  f.add("file", &file, "a file, as --name says");
  f.add("port", &port, "the port (of TLS)");
  f.add("v", &level, "log level", 'v');
  f.add("on", &on, "is on");
  f.add("off", &off, "is off");
  f.add("quiet", &quiet, "less output");
  f.add("wait", &wait, "how long");
  f.add("list", &list, "several");
  f.add("modes", &modes, "in this order");
  f.add_array("array", &array, "several");
  const std::vector<std::string> args = {"--quiet",    "--off=false", "--port", "0",
                                         "--list=a,b", "--list",      "c",      "--array=x,y"};
  ASSERT_TRUE(f.parse(args).ok());
  const std::map<std::string, std::string> wanted = {
      {"array", "[x,y]"}, {"file", ""},     {"list", "[a,b,c]"}, {"modes", "[Node,RBAC]"},
      {"name", "kind"},   {"off", "false"}, {"on", "true"},      {"port", "0"},
      {"quiet", "true"},  {"v", "0"},       {"wait", "90s"}};
  EXPECT_EQ(flag_values(f, args), wanted);
}

}  // namespace
}  // namespace keles
