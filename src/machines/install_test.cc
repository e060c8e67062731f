// Units and files of flags.
#include "machines/install.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "machinery/codec_yaml.h"

namespace keles::machines {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(Install, WritesTheFlagsOfTheService) {
  const std::string text =
      *flag_file_text(true, {"--node", "--tls-san=a", "--advertise-address", "10.0.0.1",
                             "--tls-san", "b: c", "--cluster-domain=yes"});
  auto doc = parse_yaml(text);
  ASSERT_TRUE(doc.ok()) << text;
  EXPECT_EQ(doc->root["advertise-address"].as_string(), "10.0.0.1");
  EXPECT_EQ(doc->root["tls-san"].at(1).as_string(), "b: c");
  EXPECT_EQ(doc->root["cluster-domain"].as_string(), "yes");
  EXPECT_TRUE(doc->root["node"].as_bool());
  EXPECT_TRUE(parse_yaml(*flag_file_text(false, {}))->root.is_null());
  EXPECT_THAT(flag_file_text(true, {"node"}).status().message(), HasSubstr("--name=value"));
}

TEST(Install, KeepsWhatSomebodyWrote) {
  const TemporaryDirectory dir = *TemporaryDirectory::make();
  InstallOptions o;
  o.root = dir.path();
  o.program = "/usr/bin/keles";
  o.server = false;
  auto files = plan_install(o);
  ASSERT_TRUE(files.ok());
  EXPECT_EQ((*files)[0].path, dir.path() + "/etc/systemd/system/keles-agent.service");
  EXPECT_THAT((*files)[0].content,
              HasSubstr("\nExecStart=/usr/bin/keles agent --config /etc/keles/agent.yaml\n"));
  EXPECT_THAT((*files)[0].content, HasSubstr("\nKillMode=process\n"));
  EXPECT_EQ((*files)[1].mode, 0600);
  EXPECT_TRUE((*files)[1].keep);
  o.flags = {"--server=https://h:1"};
  EXPECT_FALSE((*plan_install(o))[1].keep);
  ASSERT_TRUE(make_directories(dir.path() + "/etc/keles").ok());
  ASSERT_TRUE(write_file(dir.path() + "/etc/keles/agent.yaml", "server: mine\n").ok());
  EXPECT_THAT(plan_install(o).status().message(), HasSubstr("is there already"));
  o.program = "keles";
  EXPECT_THAT(plan_install(o).status().message(), HasSubstr("absolute"));
}

TEST(Install, IsTakenBackWhereItIs) {
  const TemporaryDirectory dir = *TemporaryDirectory::make();
  EXPECT_THAT(plan_uninstall(dir.path(), true), IsEmpty());
  ASSERT_TRUE(make_directories(dir.path() + "/etc/systemd/system").ok());
  ASSERT_TRUE(make_directories(dir.path() + "/etc/keles").ok());
  const std::string unit = dir.path() + "/etc/systemd/system/keles-server.service";
  ASSERT_TRUE(write_file(unit, "").ok());
  ASSERT_TRUE(write_file(dir.path() + "/etc/keles/server.yaml", "").ok());
  EXPECT_THAT(plan_uninstall(dir.path(), false), testing::ElementsAre(unit));
  EXPECT_EQ(plan_uninstall(dir.path(), true).size(), 2u);
}

TEST(Install, NamesTheWayWithoutSystemd) {
  const TemporaryDirectory dir = *TemporaryDirectory::make();
  EXPECT_THAT(check_systemd(dir.path()).message(), HasSubstr("--root DIR"));
  ASSERT_TRUE(make_directories(dir.path() + "/systemd/system").ok());
  EXPECT_TRUE(check_systemd(dir.path()).ok());
}

}  // namespace
}  // namespace keles::machines
