#include "node/certificates.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "api/certificates_v1.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/sim_loop.h"
#include "base/temporary_directory.h"
#include "client/testing/fake_client.h"

namespace keles::node {
namespace {

using api::certificates_v1::CertificateSigningRequest;
using api::certificates_v1::CertificateSigningRequestEdit;
using Csr = CertificateSigningRequest;

TEST(ServingCertificate, IsRenewedInTheLastThirdOfItsLife) {
  net::CertificateInfo info;
  info.not_before_unix = 1000;
  info.not_after_unix = 2000;
  EXPECT_EQ(renewal_time(info, 0).unix_seconds(), 1700);
  EXPECT_EQ(renewal_time(info, 0.5).unix_seconds(), 1800);
  EXPECT_EQ(renewal_time(info, 1).unix_seconds(), 1900);
}

struct World {
  SimLoop loop{7};
  FakeClient client{loop};
  Context ctx = Context::root(loop);
  TemporaryDirectory made = *TemporaryDirectory::make("keles-node-certificates");
  const std::string directory = made.path();
  net::TlsIdentity ca = *net::make_ca({.common_name = "ca",
                                       .not_before = loop.wall_now() - 1h,
                                       .not_after = loop.wall_now() + 87600h});
  std::vector<net::TlsIdentity> used;
  NodePlaces places{{"n1"}, {"10.0.0.1"}};

  ~World() {
    ctx.cancel();
    loop.advance(1min);
  }
  void start(bool rotate) {
    ServingCertificateOptions o;
    o.node_name = "n1";
    o.places = [this] { return places; };
    o.rotate = rotate;
    o.directory = directory + "/pki";
    o.certificate_file = directory + "/tls.crt";
    o.key_file = directory + "/tls.key";
    std::function<void(net::TlsIdentity)> use = [this](net::TlsIdentity i) { used.push_back(i); };
    spawn(loop, keep_serving_certificate(ctx, o, &client, std::move(use)));
    loop.advance(2s);
  }
  // The requests that have no answer yet, answered as by their signer.
  void sign(Duration life) {
    for (const auto& csr : client.all<Csr>()) {
      if (!csr->status().certificate().empty()) continue;
      auto pem = base64_decode(csr->spec().request());
      net::CsrTerms terms{loop.wall_now(),
                          loop.wall_now(),
                          loop.wall_now() + life,
                          {"digital signature", "server auth"}};
      auto made = net::sign_csr(ca, *pem, terms);
      ASSERT_TRUE(made.ok()) << made.status().to_string();
      Draft<CertificateSigningRequestEdit> d(*csr);
      d->edit_status().set_certificate(base64_encode(*made));
      client.put(kind_of<Csr>(), d.take());
    }
    loop.advance(1h);  // one that was given up meanwhile is not waited for any more
    for (const auto& csr : client.all<Csr>()) {
      if (csr->status().certificate().empty()) return sign(life);
    }
  }
};

TEST(ServingCertificate, IsAskedForKeptAndRenewed) {
  World w;
  w.start(true);
  auto asked = w.client.all<Csr>();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0]->spec().signer_name(), "kubernetes.io/kubelet-serving");
  auto request = net::parse_csr(*base64_decode(asked[0]->spec().request()));
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->common_name, "system:node:n1");
  EXPECT_EQ(request->organizations, std::vector<std::string>{"system:nodes"});
  EXPECT_EQ(request->ip_addresses, std::vector<std::string>{"10.0.0.1"});
  EXPECT_TRUE(w.used.empty());
  w.sign(1000h);
  ASSERT_EQ(w.used.size(), 1u);
  int hours = 0;
  while (w.client.all<Csr>().size() == 1 && hours < 1000) {
    w.loop.advance(1h);
    ++hours;
  }
  EXPECT_GE(hours, 699);
  EXPECT_LE(hours, 901);
  w.sign(1000h);
  EXPECT_EQ(w.used.size(), 2u);
  EXPECT_NE(w.used[0].certificate_pem, w.used[1].certificate_pem);

  // A kubelet that is started again goes on with what was kept.
  World again;
  ASSERT_TRUE(make_directories(again.directory + "/pki").ok());
  auto kept = read_file(w.directory + "/pki/kubelet-server-current.pem");
  ASSERT_TRUE(kept.ok());
  ASSERT_TRUE(write_file(again.directory + "/pki/kubelet-server-current.pem", *kept, 0600).ok());
  again.start(true);
  ASSERT_EQ(again.used.size(), 1u);
  EXPECT_EQ(net::parse_certificate(again.used[0].certificate_pem)->fingerprint_sha256,
            net::parse_certificate(w.used[1].certificate_pem)->fingerprint_sha256);
}

// As upstream's: nothing is asked for before the node has addresses, and another when they change.
TEST(ServingCertificate, FollowsTheNodesAddresses) {
  World w;
  w.places = {};
  w.start(true);
  w.loop.advance(1min);
  EXPECT_TRUE(w.client.all<Csr>().empty());
  w.places = {{"n1"}, {"10.0.0.1"}};
  w.loop.advance(2s);
  ASSERT_EQ(w.client.all<Csr>().size(), 1u);
  w.sign(1000h);
  ASSERT_EQ(w.used.size(), 1u);
  w.places = {{"n1"}, {"fd00::1", "10.0.0.1"}};
  w.sign(1000h);
  w.sign(1000h);
  ASSERT_EQ(w.used.size(), 2u);
  auto info = net::parse_certificate(w.used[1].certificate_pem);
  EXPECT_EQ(info->ip_addresses.size(), 2u);
  // In another order they are the same; without any, those of before hold.
  const size_t asked = w.client.all<Csr>().size();
  w.places = {{"n1"}, {"10.0.0.1", "fd00::1"}};
  w.loop.advance(10h);
  w.places = {};
  w.loop.advance(10h);
  EXPECT_EQ(w.client.all<Csr>().size(), asked);
}

TEST(ServingCertificate, IsAskedForAgainWhenDenied) {
  World w;
  w.start(true);
  auto asked = w.client.all<Csr>();
  ASSERT_EQ(asked.size(), 1u);
  Draft<CertificateSigningRequestEdit> d(*asked[0]);
  auto c = d->edit_status().edit_conditions().add();
  c.set_type("Denied");
  c.set_status("True");
  w.client.put(kind_of<Csr>(), d.take());
  w.loop.advance(10s);
  EXPECT_EQ(w.client.all<Csr>().size(), 2u);
  EXPECT_TRUE(w.used.empty());
}

TEST(ClientCertificate, IsRenewedBeforeItEnds) {
  World w;
  net::CertificateSpec spec;
  spec.common_name = "system:node:n1";
  spec.organizations = {"system:nodes"};
  spec.client = true;
  spec.not_before = w.loop.wall_now();
  spec.not_after = w.loop.wall_now() + 100h;
  ClientCertificateOptions o;
  o.node_name = "n1";
  o.certificate_pem = net::issue_certificate(w.ca, spec)->certificate_pem;
  o.directory = w.directory + "/pki";
  std::function<void(net::TlsIdentity)> use = [&w](net::TlsIdentity i) { w.used.push_back(i); };
  spawn(w.loop, keep_client_certificate(w.ctx, o, &w.client, std::move(use)));
  w.loop.advance(69h);
  EXPECT_TRUE(w.client.all<Csr>().empty());
  w.loop.advance(22h);
  auto asked = w.client.all<Csr>();
  ASSERT_FALSE(asked.empty());
  EXPECT_EQ(asked[0]->spec().signer_name(), "kubernetes.io/kube-apiserver-client-kubelet");
  EXPECT_EQ(asked[0]->spec().usages()[1], "client auth");
  auto request = net::parse_csr(*base64_decode(asked[0]->spec().request()));
  ASSERT_TRUE(request.ok());
  EXPECT_TRUE(request->dns_names.empty() && request->ip_addresses.empty());
  w.sign(1000h);
  ASSERT_EQ(w.used.size(), 1u);
  EXPECT_TRUE(path_exists(w.directory + "/pki/kubelet-client-current.pem"));
}

// One that another than the first of the cluster's CAs has signed is asked for anew at once, once.
TEST(ClientCertificate, IsAskedForAnewOfAnotherCa) {
  World w;
  net::CertificateSpec spec;
  spec.common_name = "system:node:n1";
  spec.client = true;
  spec.not_before = w.loop.wall_now();
  spec.not_after = w.loop.wall_now() + 1000h;
  net::CertificateSpec former;
  former.common_name = "ca";
  former.not_before = spec.not_before;
  former.not_after = spec.not_after;
  const net::TlsIdentity old = *net::make_ca(former);
  ClientCertificateOptions o;
  o.node_name = "n1";
  o.certificate_pem = net::issue_certificate(old, spec)->certificate_pem;
  o.directory = w.directory + "/pki";
  o.ca_pem = old.certificate_pem + w.ca.certificate_pem;
  std::function<void(net::TlsIdentity)> use = [&w](net::TlsIdentity i) { w.used.push_back(i); };
  Context first = w.ctx.child();
  spawn(w.loop, keep_client_certificate(first, o, &w.client, use));
  w.loop.advance(10min);
  EXPECT_TRUE(w.client.all<Csr>().empty());  // the old one signs still
  first.cancel();
  w.loop.advance(1min);
  o.ca_pem = w.ca.certificate_pem + old.certificate_pem;
  spawn(w.loop, keep_client_certificate(w.ctx, o, &w.client, use));
  w.loop.advance(2s);
  ASSERT_EQ(w.client.all<Csr>().size(), 1u);
  w.sign(1000h);
  ASSERT_EQ(w.used.size(), 1u);
  w.loop.advance(10h);
  EXPECT_EQ(w.client.all<Csr>().size(), 1u);
}

TEST(ServingCertificate, ChangedFilesAreReadAgain) {
  World w;
  auto write = [&](const net::TlsIdentity& i) {
    ASSERT_TRUE(write_file(w.directory + "/tls.key", i.key_pem, 0600).ok());
    ASSERT_TRUE(write_file(w.directory + "/tls.crt", i.certificate_pem, 0644).ok());
  };
  write(w.ca);
  w.start(false);
  w.loop.advance(10min);
  EXPECT_TRUE(w.used.empty());
  auto other = *net::make_ca(
      {.common_name = "b", .not_before = w.loop.wall_now(), .not_after = w.loop.wall_now() + 1h});
  ASSERT_TRUE(write_file(w.directory + "/tls.crt", other.certificate_pem, 0644).ok());
  w.loop.advance(10min);
  EXPECT_TRUE(w.used.empty());  // the key is not there yet
  write(other);
  w.loop.advance(2min);
  ASSERT_EQ(w.used.size(), 1u);
  EXPECT_EQ(w.used[0].certificate_pem, other.certificate_pem);
}

}  // namespace
}  // namespace keles::node
