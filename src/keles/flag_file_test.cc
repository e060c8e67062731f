// Flags that lie in a file.
#include "keles/flag_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temporary_directory.h"

namespace keles {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Example {
  std::string server, config;
  std::vector<std::string> names, labels;
  bool node = false;
  int64_t port = 6443;
  Flags flags{"Tries.\n\nUsage:\n  try"};
  Example() {
    flags.add("config", &config, "A file.");
    flags.add("server", &server, "The URL.");
    flags.add("tls-san", &names, "Names.");
    flags.add("node-labels", &labels, "Labels.");
    flags.add("node", &node, "A node.");
    flags.add("secure-port", &port, "The port.");
    flags.require("server");
  }
  Status take(std::string_view text, const std::vector<std::string>& args = {}) {
    TRY_ASSIGN(all, flags_of_file(flags, "/f.yaml", text, args));
    return flags.parse(all).status();
  }
};

TEST(FlagFile, GivesWhatTheCommandLineDoesNot) {
  Example e;
  ASSERT_TRUE(e.take("# mine\nserver: https://h:1\nnode: yes\nsecure-port: 7443\n"
                     "tls-san: [a, b]\nnode-labels: {disk: ssd, zone: 1}\n",
                     {"--secure-port", "1", "--tls-san=c"})
                  .ok());
  EXPECT_EQ(e.server, "https://h:1");
  EXPECT_TRUE(e.node);
  EXPECT_EQ(e.port, 1);
  EXPECT_THAT(e.names, ElementsAre("c"));
  EXPECT_THAT(e.labels, ElementsAre("disk=ssd", "zone=1"));
  EXPECT_TRUE(Example().take("# nothing but this\n", {"--server=x"}).ok());
}

TEST(FlagFile, SaysWhatIsWrongWithIt) {
  EXPECT_EQ(Example().take("sever: x\n").message(),
            "/f.yaml: unknown flag \"sever\" (--help tells those that there are)");
  EXPECT_THAT(Example().take("config: x\n").message(), HasSubstr("unknown flag"));
  EXPECT_THAT(Example().take("- a\n").message(), HasSubstr("want a mapping"));
  EXPECT_THAT(Example().take("server:\n").message(), HasSubstr("server: want a text"));
  EXPECT_THAT(Example().take("server: [[a]]\n").message(), HasSubstr("server: want a text"));
  EXPECT_THAT(Example().take("a: b: c\n").message(), HasSubstr("/f.yaml: "));
  EXPECT_THAT(Example().take("secure-port: x\nserver: y\n").message(),
              HasSubstr("invalid argument \"x\""));
  EXPECT_THAT(Example().take("tls-san: [a]\n").message(), HasSubstr("not set"));
}

TEST(FlagFile, IsTheOneNamedOrTheUsualOne) {
  const TemporaryDirectory dir = *TemporaryDirectory::make();
  const std::string usual = dir.path() + "/usual.yaml", other = dir.path() + "/other.yaml";
  Example e;
  EXPECT_THAT(*with_flag_file(e.flags, usual, {"--node"}), ElementsAre("--node"));
  ASSERT_TRUE(write_file(usual, "server: a\n").ok());
  ASSERT_TRUE(write_file(other, "server: b\n").ok());
  EXPECT_THAT(*with_flag_file(e.flags, usual, {}), ElementsAre("--server=a"));
  EXPECT_THAT(*with_flag_file(e.flags, usual, {"--config", other}),
              ElementsAre("--server=b", "--config", other));
  EXPECT_THAT(with_flag_file(e.flags, usual, {"--config=/none"}).status().message(),
              HasSubstr("--config"));
}

}  // namespace
}  // namespace keles
