#include "client/kubeconfig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/temporary_directory.h"

namespace keles {
namespace {

TEST(Kubeconfig, ReadsWhatKindWrites) {
  const TemporaryDirectory files = *TemporaryDirectory::make();
  std::string file = files.path() + "/keles-kubeconfig";
  KubeconfigEntry one{"kind-one", "https://127.0.0.1:6443", "CA", "CERT", "KEY"};
  KubeconfigEntry two{"kind-two", "https://[::1]:7443/prefix", "CA2", "CERT2", "KEY2"};
  ASSERT_TRUE(merge_kubeconfig(file, one).ok());
  ASSERT_TRUE(merge_kubeconfig(file, two).ok());
  ASSERT_TRUE(merge_kubeconfig(file, one).ok());  // again: in place, and current
  auto c = load_client_config({.path = file});
  ASSERT_TRUE(c.ok()) << c.status().to_string();
  EXPECT_EQ(c->endpoint.host, "127.0.0.1");
  EXPECT_EQ(c->endpoint.port, 6443);
  EXPECT_EQ(c->endpoint.tls->ca_pem, "CA");
  EXPECT_EQ(c->endpoint.tls->identity->key_pem, "KEY");
  c = load_client_config({.path = file, .context = "kind-two"});
  ASSERT_TRUE(c.ok());
  EXPECT_EQ(c->endpoint.host, "::1");
  EXPECT_EQ(c->path_prefix, "/prefix");
  EXPECT_EQ(load_client_config({.path = file, .context = "no"}).status().message(),
            "context \"no\" does not exist");
  ASSERT_TRUE(remove_from_kubeconfig(file, "kind-one").ok());
  auto text = read_file(file);
  EXPECT_THAT(*text, testing::Not(testing::HasSubstr("kind-one")));
  EXPECT_THAT(*text, testing::HasSubstr("kind-two"));
  EXPECT_THAT(*text, testing::HasSubstr("current-context: \"\""));
}

TEST(Kubeconfig, KeepsWhatIsNotItsOwn) {
  const TemporaryDirectory files = *TemporaryDirectory::make();
  std::string file = files.path() + "/keles-kubeconfig-2";
  ASSERT_TRUE(
      write_file(file,
                 "apiVersion: v1\nkind: Config\ncurrent-context: mine\n"
                 "clusters:\n- name: mine\n  cluster: {server: 'http://host'}\n"
                 "contexts:\n- name: mine\n  context: {cluster: mine, user: me, namespace: prod}\n"
                 "users:\n- name: me\n  user: {token: abc}\n")
          .ok());
  ASSERT_TRUE(merge_kubeconfig(file, {"kind-x", "https://h:1", "A", "B", "C"}).ok());
  ASSERT_TRUE(remove_from_kubeconfig(file, "kind-x").ok());
  auto c = load_client_config({.path = file, .context = "mine"});
  ASSERT_TRUE(c.ok()) << c.status().to_string();
  EXPECT_EQ(c->endpoint.host, "host");
  EXPECT_EQ(c->endpoint.port, 80);
  EXPECT_FALSE(c->endpoint.tls);
  EXPECT_EQ(c->token, "abc");
  EXPECT_EQ(c->ns, "prod");
}

}  // namespace
}  // namespace keles
