// The exchange of a CA: its steps, each broken off and done again, and those who follow it.
#include "machines/ca_rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/run_task.h"
#include "base/sync.h"
#include "base/temporary_directory.h"
#include "client/kubeconfig.h"
#include "machines/follow_ca.h"
#include "machines/server_balancer.h"
#include "net/certificate_bundle.h"
#include "net/http.h"
#include "net/key_pair.h"
#include "net/server_on.h"

namespace keles::machines {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kNow = 1'800'000'000;
WallTime at(int64_t unix_seconds) { return {unix_seconds * 1'000'000'000}; }

net::CertificateSpec spec(std::string name) {
  net::CertificateSpec s;
  s.common_name = std::move(name);
  s.not_before = at(kNow - 86'400);
  s.not_after = at(kNow + 86'400 * 300);
  return s;
}

class CaExchange : public testing::Test {
 protected:
  CaExchange() {
    places.data_dir = dir.path();
    places.kubelet_dir = dir.path() + "/kubelet";
    places.admin_config = dir.path() + "/admin.conf";
    (void)make_directories(dir.path() + "/pki");
    (void)make_directories(dir.path() + "/agent");
    ca = *net::make_ca(spec("kubernetes"));
    put("ca.crt", ca.certificate_pem);
    put("ca.key", ca.key_pem);
    for (const char* name : {"apiserver", "apiserver-kubelet-client"}) {
      const auto made = *net::issue_certificate(ca, spec(name));
      put(std::string(name) + ".crt", made.certificate_pem);
      put(std::string(name) + ".key", made.key_pem);
    }
    const auto admin = *net::issue_client(ca, "kubernetes-admin", {"system:masters"}, at(kNow));
    const KubeconfigEntry e{"keles", "https://10.0.0.1:6443", ca.certificate_pem,
                            admin.certificate_pem, admin.key_pem};
    (void)write_file(places.admin_config, kubeconfig_text(e) + "# mine\n");
  }
  void put(const std::string& name, const std::string& text) const {
    ASSERT_TRUE(write_file(dir.path() + "/pki/" + name, text).ok());
  }
  std::string pki(const std::string& name) const {
    return read_file(dir.path() + "/pki/" + name).value_or("");
  }
  std::vector<std::string> bundle() const { return net::certificates_in(pki("ca.crt")); }
  CaPhase phase() const { return read_ca_rotation(places)->phase; }
  net::ClientTls admin() const {
    KubeconfigChoice choice;
    choice.path = places.admin_config;
    return *load_client_config(choice)->endpoint.tls;
  }

  TemporaryDirectory dir = *TemporaryDirectory::make();
  CertificatePlaces places;
  net::TlsIdentity ca;
};

TEST_F(CaExchange, GoesInThreeSteps) {
  const std::string old = net::first_certificate(ca.certificate_pem);
  EXPECT_EQ(phase(), CaPhase::kNone);
  ASSERT_TRUE(begin_trust(places, at(kNow)).ok());
  ASSERT_EQ(bundle().size(), 2u);
  EXPECT_EQ(bundle()[0], old);
  EXPECT_EQ(pki("ca.key"), ca.key_pem);
  EXPECT_TRUE(net::is_issued_by(pki("apiserver.crt"), old));
  EXPECT_EQ(admin().ca_pem, pki("ca.crt"));
  EXPECT_EQ(phase(), CaPhase::kTrust);
  EXPECT_THAT(rotation_text(*read_ca_rotation(places), at(kNow + 60)), HasSubstr("in 9m:"));
  EXPECT_THAT(rotation_text(*read_ca_rotation(places), at(kNow + 600)), HasSubstr("now:"));

  const std::string next = bundle()[1];
  ASSERT_TRUE(begin_issue(places, at(kNow + 600)).ok());
  EXPECT_THAT(bundle(), ElementsAre(next, old));
  EXPECT_EQ(net::key_pair_problem(pki("ca.crt"), pki("ca.key")), "");
  for (const char* name : {"apiserver", "apiserver-kubelet-client"}) {
    EXPECT_TRUE(net::is_issued_by(pki(std::string(name) + ".crt"), next)) << name;
    EXPECT_EQ(
        net::key_pair_problem(pki(std::string(name) + ".crt"), pki(name + std::string(".key"))),
        "");
  }
  EXPECT_TRUE(net::is_issued_by(admin().identity->certificate_pem, next));
  EXPECT_THAT(*read_file(places.admin_config), HasSubstr("# mine\n"));
  EXPECT_FALSE(path_exists(dir.path() + "/pki/ca-next.key"));
  EXPECT_EQ(phase(), CaPhase::kIssue);

  ASSERT_TRUE(end_rotation(places, at(kNow + 700)).ok());
  EXPECT_THAT(bundle(), ElementsAre(next));
  EXPECT_EQ(admin().ca_pem, pki("ca.crt"));
  EXPECT_EQ(phase(), CaPhase::kNone);
  EXPECT_EQ(rotation_text(*read_ca_rotation(places), at(kNow)), "");
}

// What a step wrote until it was broken off is what it begins with when it is done again.
TEST_F(CaExchange, GoesOnWhereItWasBrokenOff) {
  const auto next = *net::make_ca(spec("kubernetes"));
  put("ca-next.key", next.key_pem);
  put("ca-next.crt", next.certificate_pem);
  EXPECT_EQ(phase(), CaPhase::kNone);  // nobody believes it yet
  ASSERT_TRUE(begin_trust(places, at(kNow)).ok());
  EXPECT_EQ(bundle()[1], net::first_certificate(next.certificate_pem));
  const std::string once = pki("ca.crt");
  ASSERT_TRUE(begin_trust(places, at(kNow)).ok());
  EXPECT_EQ(pki("ca.crt"), once);

  // The certificate was exchanged, and the key not.
  put("ca-previous.crt", ca.certificate_pem);
  put("ca.crt", next.certificate_pem + ca.certificate_pem);
  EXPECT_EQ(phase(), CaPhase::kTrust);
  ASSERT_TRUE(begin_issue(places, at(kNow)).ok());
  EXPECT_EQ(net::key_pair_problem(pki("ca.crt"), pki("ca.key")), "");
  EXPECT_EQ(net::first_certificate(pki("ca-previous.crt")),
            net::first_certificate(ca.certificate_pem));

  // The old one was dropped, and this not noted: it is over.
  put("ca.crt", next.certificate_pem);
  EXPECT_EQ(phase(), CaPhase::kNone);
}

TEST_F(CaExchange, LeavesOtherCasThatAreBelieved) {
  const auto also = *net::make_ca(spec("another"));
  put("ca.crt", ca.certificate_pem + also.certificate_pem);
  EXPECT_EQ(phase(), CaPhase::kNone);
  ASSERT_TRUE(begin_trust(places, at(kNow)).ok());
  ASSERT_TRUE(begin_issue(places, at(kNow)).ok());
  ASSERT_TRUE(end_rotation(places, at(kNow)).ok());
  ASSERT_EQ(bundle().size(), 2u);
  EXPECT_EQ(bundle()[1], net::first_certificate(also.certificate_pem));
}

TEST_F(CaExchange, IsRefusedWhereTheKeyIsElsewhere) {
  ASSERT_TRUE(remove_tree(dir.path() + "/pki/ca.key").ok());
  EXPECT_THAT(read_ca_rotation(places).status().message(), HasSubstr("externally managed"));
  ASSERT_TRUE(remove_tree(dir.path() + "/pki").ok());
  EXPECT_THAT(read_ca_rotation(places).status().message(), HasSubstr("on a server"));
}

TEST_F(CaExchange, CertificatesAreToldWithWhoSignedThem) {
  ASSERT_TRUE(begin_trust(places, at(kNow)).ok());
  const auto next = net::first_certificate(pki("ca-next.crt"));
  put("ca.crt", next + ca.certificate_pem);
  put("ca-previous.crt", ca.certificate_pem);
  const CertificateReport report = *read_certificates(places);
  std::vector<std::string> names;
  for (const CertificateRow& row : report.authorities) names.push_back(row.name);
  EXPECT_THAT(names, ElementsAre("ca", "ca-previous"));
  EXPECT_EQ(report.certificates.at(1).name, "apiserver");
  EXPECT_EQ(report.certificates.at(1).signer, "ca-previous");
}

TEST_F(CaExchange, NodesShowThatTheyHaveFollowed) {
  const std::string bundle = net::make_ca(spec("next"))->certificate_pem + ca.certificate_pem;
  auto line = [](const std::string& node, const std::string& by, int value) {
    return "g{node=\"" + node + "\",ca=\"" + net::parse_certificate(by)->fingerprint_sha256 +
           "\"} " + std::to_string(value) + "\n";
  };
  // "c" has shown what a server took for the one in use before it took the bundle.
  const std::string metrics = "# TYPE g gauge\n" + line("a", bundle, 1) + line("b", bundle, 0) +
                              line("c", ca.certificate_pem, 1) + "x" + line("d", bundle, 1);
  EXPECT_THAT(nodes_of_former_ca(metrics, "g", bundle, {"a", "b", "c", "d"}),
              ElementsAre("b", "c", "d"));
  EXPECT_THAT(nodes_of_former_ca(metrics, "g", bundle, {"a"}), IsEmpty());
}

TEST_F(CaExchange, AnAgentTakesWhatIsOfItsCluster) {
  FollowedCa agent;
  agent.ca_file = dir.path() + "/agent/ca.crt";
  agent.kubeconfigs = {places.admin_config, dir.path() + "/none.conf"};
  ASSERT_TRUE(write_file(agent.ca_file, ca.certificate_pem).ok());
  EXPECT_FALSE(*take_ca(agent, ca.certificate_pem));
  const auto next = *net::make_ca(spec("kubernetes"));
  EXPECT_THAT(take_ca(agent, next.certificate_pem).status().message(), HasSubstr("join again"));
  const std::string both = ca.certificate_pem + next.certificate_pem;
  EXPECT_TRUE(*take_ca(agent, both));
  EXPECT_EQ(*read_file(agent.ca_file), both);
  EXPECT_EQ(admin().ca_pem, both);
  EXPECT_TRUE(*take_ca(agent, next.certificate_pem));
  EXPECT_EQ(admin().ca_pem, next.certificate_pem);
}

// A server that tells in cluster-info of the CA that it is told to tell of; `before` is called each
// time that it is asked.
struct Told {
  std::string ca_pem;
  std::function<void()> before;
  static Task<void> answer(Told* told, net::Responder* r) {
    told->before();
    const std::string kubeconfig =
        "clusters:\\n- cluster:\\n    certificate-authority-data: " + base64_encode(told->ca_pem) +
        "\\n    server: https://mine\\n";
    net::Headers headers;
    headers.set("Content-Type", "application/json");
    std::vector<net::SharedBytes> body =
        net::as_body("{\"data\":{\"kubeconfig\":\"" + kubeconfig + "\"}}");
    (void)co_await r->respond(200, headers, body);
  }
};

// A server on loopback that shows a certificate of one of two CAs.
struct TwoCas {
  explicit TwoCas(net::Handler handler) {
    options.tls = *net::issue_certificate(old, leaf());
    server = std::move(*net::Server::start({loop.get()}, options, std::move(handler)));
  }
  net::CertificateSpec of_now(std::string name) const {
    net::CertificateSpec s = spec(std::move(name));
    s.not_before = loop->wall_now() - 1h;
    s.not_after = loop->wall_now() + 1h;
    return s;
  }
  net::CertificateSpec leaf() const {
    net::CertificateSpec s = of_now("kube-apiserver");
    s.ip_addresses = {"127.0.0.1"};
    s.server = true;
    return s;
  }
  void show_next() {
    EXPECT_TRUE(net::exchange_tls(*server, *net::issue_certificate(next, leaf()), "").ok());
  }
  std::string both() const { return old.certificate_pem + next.certificate_pem; }
  Task<Status> stop() {
    Context last = Context::root(*loop).with_timeout(5s);
    co_await server->stop(last);
    co_return Status();
  }

  std::unique_ptr<RealLoop> loop = make_real_loop();
  net::TlsIdentity old = *net::make_ca(of_now("kubernetes"));
  net::TlsIdentity next = *net::make_ca(of_now("kubernetes"));
  net::ServerOptions options;
  std::unique_ptr<net::Server> server;
};

Task<Status> followed(Context ctx, FollowedCa what) {
  co_await follow_ca(ctx, std::move(what));
  co_return Status();
}

// Over TLS that what is believed vouches for, until that is exchanged for the next.
TEST_F(CaExchange, AnAgentFollowsByAConnectionThatItTrusts) {
  Told told;
  TwoCas cas([&](Context, net::Request*, net::Responder* r) { return Told::answer(&told, r); });
  told.ca_pem = cas.both();
  FollowedCa agent;
  agent.every = 20ms;
  agent.ca_file = dir.path() + "/agent/ca.crt";
  ASSERT_TRUE(write_file(agent.ca_file, cas.old.certificate_pem).ok());
  ClientConfig at;
  at.endpoint.host = "127.0.0.1";
  at.endpoint.port = cas.server->port();
  agent.servers.push_back(at);
  Context life = Context::root(*cas.loop).with_timeout(20s);
  std::vector<size_t> held;  // certificates, when the server was asked
  told.before = [&] {
    held.push_back(net::certificates_in(*read_file(agent.ca_file)).size());
    if (held.size() == 2) cas.show_next();                         // step 2
    if (held.size() == 3) told.ca_pem = cas.next.certificate_pem;  // step 3
    if (held.size() == 4) life.cancel();
  };
  (void)run_task(*cas.loop, followed(life, agent));
  EXPECT_THAT(held, ElementsAre(1u, 2u, 2u, 1u));
  EXPECT_EQ(*read_file(agent.ca_file), cas.next.certificate_pem);
  (void)run_task(*cas.loop, cas.stop());
}

Task<void> say_well(net::Responder* r) {
  (void)co_await r->respond(200, net::Headers(), net::as_body("ok"));
}

// The probe of a balancer goes on while the CA is exchanged under it.
TEST_F(CaExchange, ServersAreAskedByTheCaOfTheFile) {
  TwoCas cas([](Context, net::Request*, net::Responder* r) { return say_well(r); });
  const std::string file = dir.path() + "/agent/ca.crt";
  ServerAddress address;
  address.host = "127.0.0.1";
  address.port = cas.server->port();
  EXPECT_FALSE(ready_probe(*cas.loop, {address}, file).ok());
  ASSERT_TRUE(write_file(file, cas.old.certificate_pem).ok());
  auto probe = ready_probe(*cas.loop, {address}, file);
  ASSERT_TRUE(probe.ok()) << probe.status().message();
  auto well = [&] {
    Context limit = Context::root(*cas.loop).with_timeout(5s);
    return run_task(*cas.loop, (*probe)(limit, 0)).ok();
  };
  EXPECT_TRUE(well());
  ASSERT_TRUE(write_file(file, cas.both()).ok());
  EXPECT_TRUE(well());
  cas.show_next();
  ASSERT_TRUE(write_file(file, cas.next.certificate_pem).ok());
  EXPECT_TRUE(well());
  ASSERT_TRUE(write_file(file, cas.old.certificate_pem).ok());
  EXPECT_FALSE(well());  // its certificate is of another
  (void)run_task(*cas.loop, cas.stop());
}

TEST(CertificateBundle, KnowsCasOfOneNameApart) {
  const auto a = *net::make_ca(spec("kubernetes")), b = *net::make_ca(spec("kubernetes"));
  const auto leaf = *net::issue_certificate(a, spec("leaf"));
  EXPECT_TRUE(net::is_issued_by(leaf.certificate_pem, a.certificate_pem));
  EXPECT_FALSE(net::is_issued_by(leaf.certificate_pem, b.certificate_pem));
  EXPECT_FALSE(net::is_of_former_ca(leaf.certificate_pem, a.certificate_pem + b.certificate_pem));
  EXPECT_TRUE(net::is_of_former_ca(leaf.certificate_pem, b.certificate_pem + a.certificate_pem));
  EXPECT_FALSE(net::is_of_former_ca(leaf.certificate_pem, b.certificate_pem));
  EXPECT_EQ(net::certificates_in(a.certificate_pem + "x\n" + a.certificate_pem).size(), 1u);
  EXPECT_EQ(net::first_certificate("nothing"), "");
}

}  // namespace
}  // namespace keles::machines
