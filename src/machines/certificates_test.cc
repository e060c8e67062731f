// A machine's certificates: told, issued anew, and taken into use under who runs with them.
#include "machines/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/sim_loop.h"
#include "base/temporary_directory.h"
#include "client/kubeconfig.h"
#include "client/node_identity.h"
#include "machines/live_certificates.h"
#include "net/key_pair.h"

namespace keles::machines {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kNow = 1'800'000'000;
WallTime at(int64_t unix_seconds) { return {unix_seconds * 1'000'000'000}; }

void pass(SimLoop& loop, Duration d) {
  loop.run_until([] { return false; }, d);
}

class Certificates : public testing::Test {
 protected:
  Certificates() {
    places.data_dir = dir.path();
    places.kubelet_dir = dir.path() + "/kubelet";
    places.admin_config = dir.path() + "/admin.conf";
    (void)make_directories(dir.path() + "/pki");
    (void)make_directories(dir.path() + "/agent");
  }
  static net::CertificateSpec spec(std::string name, int days) {
    net::CertificateSpec s;
    s.common_name = std::move(name);
    s.not_before = at(kNow - 86'400 * 300);
    s.not_after = at(kNow + 86'400 * days + 60);
    return s;
  }
  void put(const std::string& base, const net::TlsIdentity& id) const {
    ASSERT_TRUE(write_file(base + ".crt", id.certificate_pem).ok());
    ASSERT_TRUE(write_file(base + ".key", id.key_pem, 0600).ok());
  }
  // A control plane, and a node on it, of which little is left.
  void make_server() {
    ca = *net::make_ca(spec("kubernetes", 3000));
    put(dir.path() + "/pki/ca", ca);
    const auto front = *net::make_ca(spec("front-proxy-ca", 3000));
    put(dir.path() + "/pki/front-proxy-ca", front);
    net::CertificateSpec server = spec("kube-apiserver", 3);
    server.server = true;
    server.dns_names = {"kubernetes", "my.host"};
    server.ip_addresses = {"10.96.0.1"};
    put(dir.path() + "/pki/apiserver", *net::issue_certificate(ca, server));
    net::CertificateSpec proxy = spec("front-proxy-client", -2);
    proxy.client = true;
    put(dir.path() + "/pki/front-proxy-client", *net::issue_certificate(front, proxy));
    admin("kubernetes-admin", ca);
    const auto node = *issue_node_identity(ca, "n1", {"10.0.0.1"}, at(kNow - 86'400 * 100));
    NodeFiles files;
    files.kubeconfig = "/kubelet.conf";
    files.ca = "/ca.crt";
    files.serving_certificate = "/kubelet.crt";
    files.serving_key = "/kubelet.key";
    ASSERT_TRUE(write_node_identity_files(dir.path() + "/agent", files, node, ca.certificate_pem,
                                          "https://10.0.0.1:6443")
                    .ok());
  }
  void admin(const std::string& name, const net::TlsIdentity& by) {
    net::CertificateSpec s = spec(name, 20);
    s.organizations = {"system:masters"};
    s.client = true;
    const auto made = *net::issue_certificate(by, s);
    KubeconfigEntry e{"keles", "https://10.0.0.1:6443", by.certificate_pem, made.certificate_pem,
                      made.key_pem};
    ASSERT_TRUE(write_file(places.admin_config, kubeconfig_text(e) + "# mine\n").ok());
  }
  net::CertificateInfo info(const std::string& file) const {
    return *net::parse_certificate(*read_file(dir.path() + file));
  }

  TemporaryDirectory dir = *TemporaryDirectory::make();
  CertificatePlaces places;
  net::TlsIdentity ca;
};

TEST_F(Certificates, AreToldWithWhatIsLeft) {
  make_server();
  const std::string table = certificate_table(*read_certificates(places), at(kNow));
  EXPECT_THAT(table, HasSubstr("CN=kubernetes-admin,O=system:masters"));
  EXPECT_THAT(table, testing::ContainsRegex("apiserver +CN=kube-apiserver +Jan 18, 2027 08:01 UTC "
                                            "+3d +ca +no\n"));
  EXPECT_THAT(table, HasSubstr("!MISSING! apiserver-kubelet-client"));
  EXPECT_THAT(table, testing::ContainsRegex("front-proxy-client +CN=.*<invalid> +front-proxy-ca"));
  EXPECT_THAT(table, testing::ContainsRegex("\nkubelet.conf +CN=system:node:n1,O=system:nodes "));
  EXPECT_THAT(table, testing::ContainsRegex("\nca +CN=kubernetes .* 8y +no\n"));
  EXPECT_EQ(residual_time(59s), "59s");
  EXPECT_EQ(residual_time(3h), "3h");
  EXPECT_EQ(residual_time(-2s), "<invalid>");
}

TEST_F(Certificates, AreIssuedAnewOfTheNamesThatTheyHad) {
  make_server();
  const std::string old_key = *read_file(dir.path() + "/pki/apiserver.key");
  ASSERT_TRUE(renew_certificate(places, "apiserver", at(kNow)).ok());
  const net::CertificateInfo got = info("/pki/apiserver.crt");
  EXPECT_EQ(got.not_after_unix, kNow + 365 * 86'400);
  EXPECT_EQ(got.common_name, "kube-apiserver");
  EXPECT_THAT(got.dns_names, ElementsAre("kubernetes", "my.host"));
  EXPECT_THAT(got.ip_addresses, ElementsAre("10.96.0.1"));
  const std::string key = *read_file(dir.path() + "/pki/apiserver.key");
  EXPECT_NE(key, old_key);
  EXPECT_EQ(net::key_pair_problem(*read_file(dir.path() + "/pki/apiserver.crt"), key), "");
  for (const char* name : {"front-proxy-client", "kubelet.conf", "kubelet", "admin.conf"})
    EXPECT_TRUE(renew_certificate(places, name, at(kNow)).ok()) << name;
  EXPECT_EQ(info("/agent/kubelet.crt").not_after_unix, kNow + 365 * 86'400);
}

TEST_F(Certificates, OfAKubeconfigLeaveTheRestOfItAlone) {
  make_server();
  ASSERT_TRUE(renew_certificate(places, "admin.conf", at(kNow)).ok());
  EXPECT_THAT(*read_file(places.admin_config), HasSubstr("# mine\n"));
  KubeconfigChoice choice;
  choice.path = places.admin_config;
  const auto config = *load_client_config(choice);
  const auto& id = *config.endpoint.tls->identity;
  EXPECT_EQ(net::key_pair_problem(id.certificate_pem, id.key_pem), "");
  EXPECT_EQ(net::parse_certificate(id.certificate_pem)->not_after_unix, kNow + 365 * 86'400);
  EXPECT_THAT(net::parse_certificate(id.certificate_pem)->organizations,
              ElementsAre("system:masters"));
}

TEST_F(Certificates, OfOthersAreLeftAlone) {
  make_server();
  // An administrator's kubeconfig of another cluster.
  admin("stranger", *net::make_ca(spec("kubernetes", 9)));
  for (const CertificateRow& row : read_certificates(places)->certificates)
    EXPECT_NE(row.name, "admin.conf");
  // The CA's key is elsewhere.
  ASSERT_TRUE(remove_tree(dir.path() + "/pki/ca.key").ok());
  EXPECT_THAT(renew_certificate(places, "apiserver", at(kNow)).message(),
              HasSubstr("renew it where that is kept"));
  EXPECT_THAT(renew_certificate(places, "nothing", at(kNow)).message(), HasSubstr("want all"));
  // The CA has ended.
  put(dir.path() + "/pki/ca", *net::make_ca(spec("kubernetes", -1)));
  EXPECT_THAT(renew_certificate(places, "apiserver", at(kNow)).message(),
              HasSubstr("has itself ended"));
}

TEST_F(Certificates, OfAnAgentAreItsKubelets) {
  EXPECT_THAT(read_certificates(places).status().message(), HasSubstr("say --data-dir"));
  const auto foreign = *net::make_ca(spec("kubernetes", 9));
  ASSERT_TRUE(write_file(dir.path() + "/agent/ca.crt", foreign.certificate_pem).ok());
  net::CertificateSpec s = spec("system:node:n2", 9);
  s.client = true;
  const auto made = *net::issue_certificate(foreign, s);
  const std::string pem = places.kubelet_dir + "/pki/kubelet-client-current.pem";
  ASSERT_TRUE(make_directories(places.kubelet_dir + "/pki").ok());
  ASSERT_TRUE(write_file(pem, made.certificate_pem + made.key_pem).ok());
  ASSERT_TRUE(write_file(dir.path() + "/agent/kubelet.conf",
                         "apiVersion: v1\nkind: Config\ncurrent-context: d\nclusters: [{name: d, "
                         "cluster: {server: 'https://1.2.3.4'}}]\ncontexts: [{name: d, context: "
                         "{cluster: d, user: d}}]\nusers: [{name: d, user: {client-certificate: " +
                             pem + ", client-key: " + pem + "}}]\n")
                  .ok());
  const auto report = *read_certificates(places);
  ASSERT_EQ(report.certificates.size(), 1u);
  EXPECT_EQ(report.certificates[0].info.common_name, "system:node:n2");
  EXPECT_TRUE(report.certificates[0].external);
  EXPECT_THAT(renew_certificate(places, "kubelet.conf", at(kNow)).message(),
              HasSubstr("start the agent with a new token"));
}

TEST_F(Certificates, AreTakenIntoUseWhenTheirFilesChange) {
  SimLoop loop(1);
  Context ctx = Context::root(loop).child();
  const std::string file = dir.path() + "/a.crt";
  ASSERT_TRUE(write_file(file, "1").ok());
  int taken = 0;
  Status answer;
  spawn(loop, keep_certificates(ctx, {file}, [&] {
          ++taken;
          return answer;
        }));
  pass(loop, 5min);
  EXPECT_EQ(taken, 0);
  ASSERT_TRUE(write_file(file, "two").ok());
  pass(loop, 3s);
  EXPECT_EQ(taken, 1);
  // What cannot be used is tried again; what has been is not.
  answer = Status::bad_request("half written");
  ASSERT_TRUE(write_file(file, "three").ok());
  pass(loop, 4s);
  EXPECT_EQ(taken, 3);
  answer = Status();
  pass(loop, 4s);
  EXPECT_EQ(taken, 4);
  // And each hour, since they end by themselves.
  pass(loop, 1h);
  EXPECT_EQ(taken, 5);
  ctx.cancel();
  pass(loop, 11s);
}

}  // namespace
}  // namespace keles::machines
