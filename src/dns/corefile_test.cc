// Corefiles: what is understood, what is refused, and who answers a question by them.
#include "dns/corefile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/sync.h"
#include "dns/router.h"
#include "dns/server.h"
#include "machinery/codec_yaml.h"
#include "net/udp.h"

namespace keles::dns {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

DnsConfig config_of(const std::string& text) {
  auto c = parse_corefile(text, "cluster.local");
  EXPECT_TRUE(c.ok()) << c.status().message() << "\n" << text;
  return c.ok() ? std::move(*c) : DnsConfig();
}

TEST(Corefile, TheDefaultIsUnderstood) {
  const DnsConfig c = config_of(default_corefile("cluster.local"));
  ASSERT_EQ(c.blocks.size(), 1u);
  const ServerBlock& b = c.blocks[0];
  EXPECT_THAT(b.zones, ElementsAre(""));
  EXPECT_TRUE(b.errors && b.loop && b.rotate && !b.log);
  EXPECT_EQ(b.cache_seconds, 30u);
  ASSERT_TRUE(b.cluster);
  EXPECT_THAT(b.cluster->zones, ElementsAre("cluster.local", "in-addr.arpa", "ip6.arpa"));
  EXPECT_TRUE(b.cluster->pods);
  EXPECT_EQ(b.cluster->ttl_seconds, 30u);
  ASSERT_EQ(b.forwards.size(), 1u);
  EXPECT_TRUE(b.forwards[0].hosts_own);
  EXPECT_EQ(b.forwards[0].max_concurrent, 1000);
  EXPECT_EQ(c.metrics->port, 9153);
  EXPECT_TRUE(c.warnings.empty());
}

// What kubeadm and kind write, and what people add to it.
TEST(Corefile, WhatIsFoundInClusters) {
  const DnsConfig c = config_of(R"(
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    hosts {
      192.168.1.5 registry.local Build.local  # two names
      fd00::5 registry.local
      fallthrough
    }
    prometheus :9153
    forward . 8.8.8.8 [2001:db8::1]:5353 { policy sequential }
    cache 30
    loop
    reload
    loadbalance
}
example.com:53, corp.example.com { forward . 10.0.0.53:5300 
  log }
)");
  ASSERT_EQ(c.blocks.size(), 2u);
  EXPECT_EQ(c.health->port, 8080);
  EXPECT_EQ(c.ready->port, 8181);
  EXPECT_THAT(c.warnings, ElementsAre(HasSubstr("lameduck")));
  const HostsTable& hosts = *c.blocks[0].hosts;
  EXPECT_EQ(hosts.names.find("registry.local")->second.size(), 2u);
  EXPECT_EQ(hosts.names.count("build.local"), 1u);
  EXPECT_THAT(c.blocks[0].forwards[0].to,
              ElementsAre(Upstream{"8.8.8.8", 53}, Upstream{"2001:db8::1", 5353}));
  EXPECT_THAT(c.blocks[1].zones, ElementsAre("example.com", "corp.example.com"));
  EXPECT_THAT(c.blocks[1].forwards[0].to, ElementsAre(Upstream{"10.0.0.53", 5300}));
  EXPECT_TRUE(c.blocks[1].log);
  EXPECT_EQ(c.block_of("a.example.com"), &c.blocks[1]);
  EXPECT_EQ(c.block_of("anexample.com"), &c.blocks[0]);
}

TEST(Corefile, WhatIsRefused) {
  const struct {
    std::string text, want;
  } rows[] = {
      {"", "Corefile:1 - Error during parsing: no server block"},
      {".:53 {\n  rewrite name a b\n}",
       "Corefile:2 - Error during parsing: Unknown directive 'rewrite'"},
      {".:53 {\n  errors\n", "Corefile:2 - Error during parsing: Unexpected EOF, expecting '}'"},
      {". {\n  forward . /etc/hosts.conf\n}",
       "Corefile:2 - Error during parsing: plugin/forward: not an IP address or file: "
       "\"/etc/hosts.conf\""},
      {". {\n  forward . tls://1.1.1.1\n}",
       "Corefile:2 - Error during parsing: plugin/forward: not an IP address or file: "
       "\"tls://1.1.1.1\""},
      {". {\n  forward . 1.1.1.1 {\n    health_check 5s\n  }\n}",
       "Corefile:3 - Error during parsing: plugin/forward: unknown property 'health_check'"},
      {". {\n  kubernetes other.local\n}",
       "Corefile:2 - Error during parsing: plugin/kubernetes: zone 'other.local.' is not the "
       "cluster's domain, cluster.local"},
      {". {\n  kubernetes cluster.local {\n    pods verified\n  }\n}",
       "Corefile:3 - Error during parsing: plugin/kubernetes: pods verified is not supported"},
      {". {\n  kubernetes cluster.local {\n    ttl 3601\n  }\n}",
       "Corefile:3 - Error during parsing: plugin/kubernetes: ttl must be in range [0, 3600]"},
      {". {\n  cache 0\n}",
       "Corefile:2 - Error during parsing: plugin/cache: cache TTL can not be zero or negative: 0"},
      {". {\n  hosts /etc/hosts\n}",
       "Corefile:2 - Error during parsing: plugin/hosts: files are not read (/etc/hosts): say the "
       "entries inline"},
      {".:54 {\n}",
       "Corefile:1 - Error during parsing: port 54: this server answers at the cluster's DNS port "
       "alone, which is 53"},
      {"a.b {\n}\na.b {\n}",
       "Corefile:3 - Error during parsing: cannot serve dns://a.b.:53 - it is already defined"},
      {"import x\n. {\n}", "Corefile:1 - Error during parsing: Unknown directive 'import'"},
  };
  for (const auto& row : rows) {
    auto c = parse_corefile(row.text, "cluster.local");
    EXPECT_EQ(c.ok() ? "" : c.status().message(), row.want) << row.text;
  }
}

TEST(Router, AsksWhomTheCorefileSays) {
  Zone zone;
  zone.set_namespace("default");
  auto d = parse_yaml(
      "metadata: {name: web, namespace: default}\nspec: {clusterIP: 10.96.1.1, clusterIPs: "
      "[10.96.1.1, 'fd00:10:96::1:1'], ports: [{port: 80}]}");
  zone.set_service(api::core_v1::Service(d->root));
  const DnsConfig c = config_of(R"(
. {
  hosts example.org {
    192.0.2.1 www.example.org
    fallthrough deep.example.org
  }
  kubernetes cluster.local in-addr.arpa { fallthrough in-addr.arpa }
  forward . 10.0.0.1 { except secret.org }
}
stub.test { forward . 10.0.0.2 }
)");
  // "PLUGIN RCODE ANSWERS", or the upstream.
  auto ask = [&](const std::string& name, uint16_t type) {
    Query q;
    q.name = q.name_as_asked = name;
    q.type = type;
    Route r = route(c, zone, q);
    if (r.forward) return r.forward->to[0].ip;
    std::string out = std::string(r.plugin) + " " + std::to_string(r.answer->rcode);
    for (const Record& a : r.answer->answers) out += " " + a.text;
    return out;
  };
  EXPECT_EQ(ask("www.example.org", kA), "hosts 0 192.0.2.1");
  EXPECT_EQ(ask("www.example.org", kAaaa), "hosts 0");
  EXPECT_EQ(ask("1.2.0.192.in-addr.arpa", kPtr), "hosts 0 www.example.org");
  EXPECT_EQ(ask("no.example.org", kA), "hosts 2");
  EXPECT_EQ(ask("x.deep.example.org", kA), "10.0.0.1");
  EXPECT_EQ(ask("web.default.svc.cluster.local", kA), "kubernetes 0 10.96.1.1");
  EXPECT_EQ(ask("web.default.svc.cluster.local", kAaaa), "kubernetes 0 fd00:10:96::1:1");
  EXPECT_EQ(ask("nope.default.svc.cluster.local", kA), "kubernetes 3");
  EXPECT_EQ(ask("10-1-2-3.default.pod.cluster.local", kA), "kubernetes 3") << "pods: disabled";
  EXPECT_EQ(ask("1.1.96.10.in-addr.arpa", kPtr), "kubernetes 0 web.default.svc.cluster.local");
  EXPECT_EQ(ask("9.9.9.9.in-addr.arpa", kPtr), "10.0.0.1");
  EXPECT_EQ(ask("a.stub.test", kA), "10.0.0.2");
  EXPECT_EQ(ask("a.secret.org", kA), " 5");
  EXPECT_EQ(ask("elsewhere.org", kA), "10.0.0.1");
}

Task<void> ask_self(Context ctx, RealLoop* loop, DnsServer* server, std::string question,
                    std::string own, std::string* reply) {
  Context serving = ctx.child();
  TaskGroup group(*loop);
  group.spawn(server->run(serving, nullptr, nullptr));
  auto socket = net::UdpSocket::bind(*loop, own, 0);
  Context limited = ctx.with_timeout(10s);
  net::UdpAddress to;
  to.ip = own;
  to.port = server->port();
  // The search for loops comes first and ends with the first question's answer, or before it.
  for (int i = 0; i < 2; ++i) {
    Status sent = co_await (*socket)->send(limited, question, to);
    EXPECT_TRUE(sent.ok()) << sent.to_string();
    auto got = co_await (*socket)->receive(limited);
    EXPECT_TRUE(got.ok()) << got.status().to_string();
    if (got.ok()) *reply = got->data;
  }
  serving.cancel();
  co_await group.join();
  loop->stop();
}

// A forwarder that leads back here would have every question go round for ever.
TEST(DnsServer, ForwardsNothingInALoop) {
  auto loop = make_real_loop();
  // A loopback address of this process alone: the Corefile names the port before it is bound.
  const auto pid = static_cast<uint32_t>(getpid());
  const std::string own = IpAddress::v4(0x7f000000 | (pid & 0xffffff)).text();
  DnsOptions options;
  options.address = own;
  options.port = 15353;
  options.corefile = ". {\n loop\n forward . " + own + ":15353\n}\n";
  auto server = DnsServer::start(*loop, options);
  ASSERT_TRUE(server.ok()) << server.status().message();
  std::string reply;
  spawn(*loop, ask_self(Context::root(*loop), loop.get(), server->get(),
                        write_question(7, "example.org", kA), own, &reply));
  loop->run();
  ASSERT_GT(reply.size(), 12u);
  EXPECT_EQ(reply[3] & 15, kRefused);
}

}  // namespace
}  // namespace keles::dns
