// The controller against FakeClient on virtual time, with a proxy that only remembers.
#include "ingress/controller.h"

#include <gtest/gtest.h>

#include <set>

#include "base/encoding.h"
#include "base/log.h"
#include "base/run_task.h"
#include "base/sim_loop.h"
#include "client/testing/fake_client.h"
#include "controllers/options.h"
#include "net/pki.h"

namespace keles::ingress {
namespace {

using api::networking_v1::Ingress;

class FakeProxy final : public Proxy {
 public:
  Task<Status> try_certificate(Context, net::TlsIdentity) override { co_return certificate; }
  Task<Status> try_expression(Context, std::string) override { co_return Status(); }
  uint16_t inner_port(uint16_t listener) const override {
    return ProxyOptions().inner_port(listener);
  }
  Task<Status> apply(Context, RoutingTable table) override {
    tables.push_back(std::move(table));
    co_return applied;
  }
  Status certificate, applied;
  std::vector<RoutingTable> tables;
};

class Controllers : public ::testing::Test {
 protected:
  Controllers() {
    log::set_output(-1);
    put("{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: keles}, spec: "
        "{controller: keles.dev/ingress}}");
    put("{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: nginx}, spec: "
        "{controller: k8s.io/ingress-nginx}}");
    address("10.0.0.9");
    ControllerOptions o;
    o.publish_namespace = o.publish_service = "edge";
    controllers::Deps deps{client_, informers_, options_};
    controller_ = std::make_unique<IngressController>(deps, o, proxy_);
    informers_.start(ctx_);
    spawn(loop_, controller_->run(ctx_));
    loop_.advance(2s);
  }
  ~Controllers() override {
    ctx_.cancel();
    loop_.advance(1min);
  }
  void put(const std::string& yaml) { client_.put_yaml(yaml); }
  void address(const std::string& ip) {
    put("{apiVersion: v1, kind: Service, metadata: {name: edge, namespace: edge}, status: "
        "{loadBalancer: {ingress: [{ip: " +
        ip + "}]}}}");
  }
  void ingress(const std::string& name, const std::string& spec) {
    put("{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: " + name +
        ", namespace: shop}, spec: {" + spec + "}}");
  }
  std::string told_address(const std::string& name) {
    std::string out;
    for (auto i : client_.now<Ingress>("shop", name)->status().load_balancer().ingress())
      out += std::string(i.ip()) + std::string(i.hostname()) + " ";
    return out;
  }
  std::multiset<std::string> events() {
    std::multiset<std::string> out;
    for (const auto& e : client_.all<api::core_v1::Event>())
      out.insert(std::string(e->involved_object().name()) + " " + std::string(e->reason()) + " " +
                 std::to_string(e->count()));
    return out;
  }

  SimLoop loop_{1};
  FakeClient client_{loop_};
  InformerFactory informers_{client_};
  controllers::Options options_;
  FakeProxy proxy_;
  Context ctx_ = Context::root(loop_);
  std::unique_ptr<IngressController> controller_;
};

constexpr char kDefault[] = "defaultBackend: {service: {name: web, port: {number: 80}}}";

TEST_F(Controllers, OursAreToldTheAddressAndNoOthers) {
  ingress("ours", std::string("ingressClassName: keles, ") + kDefault);
  ingress("theirs", std::string("ingressClassName: nginx, ") + kDefault);
  ingress("nobodys", kDefault);
  loop_.advance(3s);
  EXPECT_EQ(told_address("ours"), "10.0.0.9 ");
  EXPECT_EQ(told_address("theirs") + told_address("nobodys"), "");
  address("10.0.0.10");
  loop_.advance(3s);
  EXPECT_EQ(told_address("ours"), "10.0.0.10 ");
  client_.clear_calls();
  loop_.advance(1min);
  EXPECT_EQ(client_.writes().size(), 0u) << "nothing changes, nothing is written";
}

TEST_F(Controllers, WhatCannotBeHonouredIsToldOnceUntilItIsMended) {
  ingress("a", std::string("ingressClassName: keles, ") + kDefault);
  loop_.advance(3s);
  EXPECT_EQ(events(), (std::multiset<std::string>{"a ServiceNotFound 1"}));
  ingress("b", std::string("ingressClassName: keles, rules: [{host: b.com}]"));
  loop_.advance(3s);
  EXPECT_EQ(events().size(), 1u) << "another's change tells nothing anew";
  put("{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: "
      "[{port: "
      "80}]}}");
  loop_.advance(3s);
  EXPECT_TRUE(proxy_.tables.back().defaults.contains(Host()));
  client_.drop(kind_of<api::core_v1::Service>(), "shop", "web");
  loop_.advance(3s);
  EXPECT_EQ(events(), (std::multiset<std::string>{"a ServiceNotFound 2"}));
}

TEST_F(Controllers, ManyChangesAreFewTables) {
  const size_t before = proxy_.tables.size();
  for (int i = 0; i < 100; ++i) {
    ingress("i" + std::to_string(i), std::string("ingressClassName: keles, ") + kDefault);
    loop_.advance(20ms);
  }
  loop_.advance(2s);
  EXPECT_LE(proxy_.tables.size() - before, 5u);
  EXPECT_EQ(told_address("i99"), "10.0.0.9 ");
}

TEST_F(Controllers, ACertificateThatTheProxyRefusesStopsNobody) {
  net::CertificateSpec spec;
  spec.common_name = "a.com";
  spec.not_before = loop_.wall_now();
  spec.not_after = loop_.wall_now() + 24h;
  const auto ca = net::make_ca(spec);
  put("{apiVersion: v1, kind: Secret, type: kubernetes.io/tls, metadata: {name: weak, namespace: "
      "shop}, data: {tls.crt: '" +
      base64_encode(ca->certificate_pem) + "', tls.key: '" + base64_encode(ca->key_pem) + "'}}");
  proxy_.certificate = Status::bad_request("ee key too small");
  ingress("a", "ingressClassName: keles, tls: [{hosts: [a.com], secretName: weak}]");
  loop_.advance(3s);
  EXPECT_EQ(proxy_.tables.back().certificates.size(), 0u);
  EXPECT_EQ(events(), (std::multiset<std::string>{"a InvalidCertificate 1"}));
  EXPECT_EQ(told_address("a"), "10.0.0.9 ");
}

TEST(WithPorts, OursComeAndGoAndTheUsersStay) {
  SimLoop loop{1};
  FakeClient client{loop};
  FakeProxy proxy;
  auto ports = [&](const std::string& had, const std::set<uint16_t>& wanted) {
    client.put_yaml(
        "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: d}, spec: "
        "{ports: [" +
        had + "]}}");
    auto d = with_ports(*client.now<api::core_v1::Service>("d", "s"), wanted, proxy);
    if (!d) return std::string("as it is");
    std::string out;
    for (const Value& p : d->root["spec"]["ports"].items())
      out += std::string(p["name"].as_string()) + "=" + std::to_string(p["port"].as_int()) + ">" +
             std::to_string(p["targetPort"].as_int()) + " ";
    return out;
  };
  const std::string own = "{name: http, port: 80, targetPort: 8080}, ";
  EXPECT_EQ(ports(own, {}), "as it is");
  EXPECT_EQ(ports(own, {80}), "as it is");
  EXPECT_EQ(ports(own, {80, 81, 8080}),
            "http=80>8080 gateway-81=81>64081 gateway-8080=8080>65024 ");
  EXPECT_EQ(ports(own + "{name: gateway-81, port: 81, targetPort: 64081}", {82}),
            "http=80>8080 gateway-82=82>64082 ");
  EXPECT_EQ(ports(own + "{name: mine, port: 81, targetPort: 5}", {81}), "as it is");
  EXPECT_EQ(ports(own + "{name: dns, port: 53, protocol: UDP, targetPort: 53}", {53}),
            "http=80>8080 dns=53>53 gateway-53=53>64053 ");
}

TEST_F(Controllers, ATableThatWasNotTakenIsTriedAgain) {
  proxy_.applied = Status::internal("no room");
  ingress("a", std::string("ingressClassName: keles, ") + kDefault);
  loop_.advance(3s);
  const size_t tried = proxy_.tables.size();
  EXPECT_EQ(told_address("a"), "");
  proxy_.applied = Status();
  loop_.advance(1min);
  EXPECT_GT(proxy_.tables.size(), tried);
  EXPECT_EQ(told_address("a"), "10.0.0.9 ");
}

}  // namespace
}  // namespace keles::ingress
