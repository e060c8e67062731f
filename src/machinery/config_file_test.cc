// Configuration files: what is refused, in which words and with which line.
#include "machinery/config_file.h"

#include <gtest/gtest.h>

namespace keles {
namespace {

const ConfigKind kPolicy{"audit.k8s.io/v1", "Policy"};
const ConfigKind kEncryption{"apiserver.config.k8s.io/v1", "EncryptionConfiguration"};

std::string refused(const ConfigKind& kind, const std::string& text) {
  auto file = ConfigFile::parse("f.yaml", text, kind);
  return file.ok() ? "" : file.status().message();
}

const std::string kHead = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

TEST(ConfigFile, ReadsWhatItShould) {
  auto file =
      ConfigFile::parse("f.yaml", kHead + "rules:\n- level: None\n  users: [a, b]\n", kPolicy);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ(file->root()["rules"].at(0)["users"].size(), 2u);
  EXPECT_EQ(file->api_version(), "audit.k8s.io/v1");
  EXPECT_TRUE(file->warnings().empty());
}

TEST(ConfigFile, FillsInDefaults) {
  auto file = ConfigFile::parse("f.yaml",
                                "{apiVersion: apiserver.config.k8s.io/v1, kind: "
                                "EncryptionConfiguration, resources: [{resources: [secrets], "
                                "providers: [{kms: {name: a, endpoint: 'unix:///s'}}]}]}",
                                kEncryption);
  ASSERT_TRUE(file.ok()) << file.status().message();
  const Value& kms = file->root()["resources"].at(0)["providers"].at(0)["kms"];
  EXPECT_EQ(kms["timeout"].as_string(), "3s");
  EXPECT_EQ(kms["apiVersion"].as_string(), "v1");
}

TEST(ConfigFile, NamesFileLineAndField) {
  struct Case {
    std::string text, message;
  };
  const Case cases[] = {
      {kHead + "rules:\n- level: None\n  user: [a]\n", "f.yaml:5: rules[0].user: unknown field"},
      {kHead + "rules:\n- level: None\n- level: [x]\n",
       "f.yaml:5: rules[1].level: want a text, got a list"},
      {kHead + "rules: {a: b}\n", "f.yaml:3: rules: want a list, got a map"},
      {kHead + "rules:\n- level: None\n  omitManagedFields: 'yes'\n",
       "f.yaml:5: rules[0].omitManagedFields: want a boolean, got a text"},
      {kHead + "rules:\n- level: None\n  users: [a, 3]\n",
       "f.yaml:5: rules[0].users[1]: want a text, got a number"},
      {kHead + "rules:\n-\n", "f.yaml:4: rules[0]: want a value, got null"},
      {kHead + "rulez: []\nomitStage: x\n",
       "f.yaml:3: rulez: unknown field\nf.yaml:4: omitStage: unknown field"},
      {kHead + "rules: []\nrules: []\n", "f.yaml:4: key \"rules\" already set in map"},
      {kHead + "rules: [\n", "f.yaml:3: did not find expected node content"},
      {"apiVersion: audit.k8s.io/v1\nkind: Polity\n",
       "f.yaml:2: kind: want a Policy of audit.k8s.io/v1"},
      {"apiVersion: audit.k8s.io/v2\nkind: Policy\n", "f.yaml:1: apiVersion: want audit.k8s.io/v1"},
      {"kind: Policy\n", "f.yaml:1: apiVersion: want audit.k8s.io/v1"},
      {"", "f.yaml: is empty: want a Policy of audit.k8s.io/v1"},
      {"[]", "f.yaml: want a Policy of audit.k8s.io/v1, got a list"},
      {kHead + "rules: []\n---\n" + kHead,
       "f.yaml: has more than one document: want one Policy of audit.k8s.io/v1"},
  };
  for (const Case& c : cases) EXPECT_EQ(refused(kPolicy, c.text), c.message) << c.text;
}

TEST(ConfigFile, FindsTheLineOfWhatHoldsAFieldThatIsNotWritten) {
  auto file = ConfigFile::parse("f.yaml", kHead + "rules:\n- users: [a]\n", kPolicy);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->error("rules[0].level", "Required value").message(),
            "f.yaml:4: rules[0].level: Required value");
  EXPECT_EQ(file->error("omitStages", "x").message(), "f.yaml:1: omitStages: x");
}

TEST(ConfigFile, IsBounded) {
  EXPECT_EQ(refused(kPolicy, std::string((1 << 20) + 1, ' ')),
            "f.yaml: the file is longer than 1 MiB");
  const std::string deep = std::string(2000, '[') + std::string(2000, ']');
  EXPECT_NE(refused(kPolicy, kHead + "rules: " + deep), "");
}

TEST(ConfigFile, PrintsDefaults) {
  auto text = default_config({"podsecurityconfig", "Nothing"});
  EXPECT_FALSE(text.ok());
  text = default_config({"pod-security.admission.config.k8s.io/v1", "PodSecurityConfiguration"});
  ASSERT_TRUE(text.ok());
  EXPECT_NE(text->find("enforce: privileged\n"), std::string::npos) << *text;
  auto again = ConfigFile::parse(
      "f", *text, {"pod-security.admission.config.k8s.io/v1", "PodSecurityConfiguration"});
  EXPECT_TRUE(again.ok()) << again.status().message();
}

}  // namespace
}  // namespace keles
