// Credential plug-ins: what they are told, what they may say, and what is wrong with an entry.
#include "kubectl/credential_plugin.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::kubectl {
namespace {

constexpr char kV1[] = "client.authentication.k8s.io/v1";

std::string said(const std::string& output) {
  Result<Document> d = read_exec_credential(output, kV1);
  return d.ok() ? to_json(d->root) : d.status().message();
}

std::string credential(const std::string& rest) {
  return R"({"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential")" + rest + "}";
}

TEST(CredentialPluginTest, Answers) {
  EXPECT_EQ(said(credential(R"(,"status":{"token":"t"})")), R"({"token":"t"})");
  EXPECT_EQ(said(credential(R"(,"status":{"clientCertificateData":"c","clientKeyData":"k"})")),
            R"({"client-certificate-data":"Yw==","client-key-data":"aw=="})");
  EXPECT_EQ(said(credential("")), "exec plugin didn't return a status field");
  EXPECT_EQ(said(credential(R"(,"status":{})")),
            "exec plugin didn't return a token or cert/key pair");
  EXPECT_EQ(said(credential(R"(,"status":{"clientKeyData":"k"})")),
            "exec plugin returned only certificate or key, not both");
  EXPECT_EQ(
      said(R"({"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential"})"),
      "exec plugin is configured to use API version client.authentication.k8s.io/v1, plugin "
      "returned version client.authentication.k8s.io/v1beta1");
  EXPECT_TRUE(said("what?").starts_with("decoding stdout: "));
}

TEST(CredentialPluginTest, IsToldOfTheCluster) {
  Document cluster = *parse_json(R"({"server":"https://x"})");
  EXPECT_EQ(exec_info(kV1, cluster.root, false),
            R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",)"
            R"("spec":{"cluster":{"server":"https://x"},"interactive":false}})");
}

struct PluginUser {
  TemporaryDirectory dir = std::move(*TemporaryDirectory::make());
  Document config;

  explicit PluginUser(const std::string& script,
                      const std::string& more = "interactiveMode: Never") {
    std::string path = dir.path() + "/who";
    EXPECT_TRUE(write_file(path, "#!/bin/sh\n" + script + "\n", 0755).ok());
    ::chmod(path.c_str(), 0755);
    config = *parse_yaml(
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: me}}]\n"
        "clusters: [{name: k, cluster: {server: 'https://x:1'}}]\n"
        "users: [{name: me, user: {exec: {command: " +
        path + ", apiVersion: " + kV1 + ", args: [one], env: [{name: WHO, value: two}], " + more +
        "}}}]\n");
  }
  std::string run(const KubeconfigChoice& choice = {}) {
    Status s = use_credential_plugin(config, choice);
    return s.ok() ? to_json(config.root["users"].at(0)["user"]) : s.message();
  }
};

TEST(CredentialPluginTest, RunsTheProgram) {
  PluginUser s("echo '" + credential(R"(,"status":{"token":"'$1-$WHO'"})") + "'");
  EXPECT_EQ(s.run(), R"({"token":"one-two"})");
  PluginUser told("printf %s \"$KUBERNETES_EXEC_INFO\" | grep -q 'https://x:1' && echo '" +
                      credential(R"(,"status":{"token":"t"})") + "'",
                  "interactiveMode: Never, provideClusterInfo: true");
  EXPECT_EQ(told.run(), R"({"token":"t"})");
}

TEST(CredentialPluginTest, WhatGoesWrong) {
  const std::string head = "Unable to connect to the server: getting credentials: ";
  PluginUser fails("exit 3");
  EXPECT_EQ(fails.run(), head + "exec: executable " + fails.dir.path() +
                             "/who failed with exit "
                             "code 3");
  PluginUser talks("head -c 2000000 /dev/zero; sleep 60");
  EXPECT_EQ(talks.run(), head + "exec: the plugin's output is too long");
  PluginUser missing("", "interactiveMode: Never, installHint: buy one");
  ASSERT_TRUE(remove_file(missing.dir.path() + "/who").ok());
  std::string why = missing.run();
  EXPECT_NE(why.find("/who not found"), why.npos) << why;
  EXPECT_TRUE(why.ends_with("\n\nbuy one")) << why;
  PluginUser no_mode("", "installHint: x");
  EXPECT_EQ(no_mode.run(),
            "invalid configuration: interactiveMode must be specified for me to use exec "
            "authentication plugin");
}

}  // namespace
}  // namespace keles::kubectl
