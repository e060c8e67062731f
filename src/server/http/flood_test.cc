// Attacks on the HTTP front: clients that do not read what they asked for, that send without end,
// or that send where they have no business. The server keeps answering others, and its memory
// holds.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <thread>

#include "base/loop.h"
#include "base/metrics.h"
#include "base/sync.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "machinery/list_item.h"
#include "server/http/front.h"
#include "server/http/pieces.h"
#include "server/http/served_api.h"

namespace keles::server {
namespace {

constexpr const char* kMaps = "/api/v1/namespaces/default/configmaps";

size_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  size_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * 4096;
}

// A server on a loop and thread of its own; clients on the test's.
struct Besieged : ServedApi {
  net::TlsIdentity admin = ServedApi::admin();

  explicit Besieged(net::ServerOptions o = usual_server_options(), FrontOptions f = {})
      : ServedApi(ServedOptions{.front = std::move(f), .http = std::move(o), .own_thread = true}) {}

  // `n` maps with `bytes` of data each.
  void fill(int n, size_t bytes) {
    auto client = connect(admin);
    for (int i = 0; i < n; ++i) {
      std::string body = R"({"metadata":{"name":"m)" + std::to_string(i) + R"("},"data":{"k":")" +
                         std::string(bytes, 'x') + R"("}})";
      EXPECT_EQ(send(client.get(), request("POST", kMaps, std::move(body))).status, 201);
    }
  }

  // A get over a connection of its own, in milliseconds.
  double get_ms(net::HttpClient* by) {
    const TimePoint start = loop->now();
    EXPECT_EQ(send(by, request("GET", std::string(kMaps) + "/m0")).status, 200);
    return 1e-6 * static_cast<double>((loop->now() - start).count());
  }
};

// Asks for lists and reads none of them, until its context ends.
struct Unread {
  Unread(Besieged* s, int connections, int each, const char* accept) : group(*s->loop) {
    ctx = s->ctx.child();
    for (int c = 0; c < connections; ++c) {
      clients.push_back(s->connect(s->admin));
      for (int i = 0; i < each; ++i) group.spawn(one(this, clients.back().get(), accept));
    }
  }
  static Task<void> one(Unread* self, net::HttpClient* by, std::string accept) {
    net::Headers headers{{"Accept", accept}};
    net::Request r = Besieged::request("GET", kMaps, "", headers);
    auto got = co_await by->open(*self->ctx, std::move(r));
    if (got.ok()) self->kept.push_back(std::move(*got));
  }
  void end(Besieged* s) {
    ctx->cancel();
    s->run(group.join());
    kept.clear();
    clients.clear();
  }
  std::optional<Context> ctx;
  TaskGroup group;
  std::vector<std::unique_ptr<net::HttpClient>> clients;
  std::vector<std::unique_ptr<net::ResponseStream>> kept;
};

// A closed window, and a hundred long lists that nobody reads: others are served as before, what is
// held stays within the budget.
TEST(Flood, AReaderThatDoesNotRead) {
  net::ServerOptions o = usual_server_options();
  Besieged s(o);
  s.fill(300, 20'000);  // a list of 6 MB
  auto other = s.connect(s.admin);
  s.get_ms(other.get());
  const size_t before = resident_bytes();
  Unread attack(&s, 1, 90, "application/yaml");
  double worst = 0;
  size_t most = 0;
  for (int i = 0; i < 150; ++i) {
    worst = std::max(worst, s.get_ms(other.get()));
    most = std::max(most, s.http->bytes_in_flight());
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_LT(worst, 700) << "ms";  // 90 lists at once took 13 s
  EXPECT_GT(most, 1u << 20);
  EXPECT_LE(most, o.connection_budget + (1u << 20));
  // 540 MB were asked for; the client itself holds its windows (64 MB).
  EXPECT_LT(resident_bytes() - std::min(before, resident_bytes()), 200u << 20);
  attack.end(&s);
  for (int i = 0; i < 500 && s.http->bytes_in_flight() > 0; ++i) s.get_ms(other.get());
  EXPECT_EQ(s.http->bytes_in_flight(), 0u) << "given back once the connection is over";
}

// The total is used up by connections that do not read: others still get small answers.
TEST(Flood, AllOfTheBudgetIsTaken) {
  net::ServerOptions o = usual_server_options();
  o.connection_budget = 1 << 20;
  o.total_budget = 2 << 20;
  Besieged s(o);
  s.fill(300, 20'000);
  auto other = s.connect(s.admin);
  Unread attack(&s, 4, 90, "application/json");
  size_t most = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_LT(s.get_ms(other.get()), 1000);
    most = std::max(most, s.http->bytes_in_flight());
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_GT(most, 1u << 20);
  EXPECT_LE(most, (2u << 20) + 5 * 64 * 1024);
  attack.end(&s);
}

// What a peer leaves untouched for too long is thrown away.
TEST(Flood, AStalledReaderIsCutOff) {
  net::ServerOptions o = usual_server_options();
  o.stall_timeout = 200ms;
  Besieged s(o);
  s.fill(300, 20'000);
  auto other = s.connect(s.admin);
  Unread attack(&s, 1, 30, "application/json");
  for (int i = 0; i < 100 && s.http->bytes_in_flight() < 1u << 20; ++i) s.get_ms(other.get());
  EXPECT_GT(s.http->bytes_in_flight(), 1u << 20);
  for (int i = 0; i < 300 && s.http->bytes_in_flight() > 0; ++i) {
    s.get_ms(other.get());
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(s.http->bytes_in_flight(), 0u);
  attack.end(&s);
}

// --- bodies ---

Task<Result<std::string>> exchange_raw(Context ctx, uint16_t port, std::string first, size_t more) {
  auto made = co_await net::dial(ctx, "127.0.0.1", port);
  if (!made.ok()) co_return made.status();
  TRY_CO((*made)->write(ctx, std::move(first)));
  // Goes on sending whatever is said, as many clients do.
  const std::string piece(65536, 'x');
  for (size_t sent = 0; sent < more; sent += piece.size()) {
    Status s = co_await (*made)->write(ctx, piece);
    if (!s.ok()) break;
  }
  std::string all;
  for (;;) {
    auto got = co_await (*made)->read(ctx);
    if (!got.ok() || got->empty()) break;
    all += *got;
  }
  co_return all;
}

// The front over plain HTTP/1.1, where bytes can be written by hand.
struct Plain : ServedApi {
  explicit Plain(net::ServerOptions o = usual_server_options(), FrontOptions f = {},
                 bool fairness = true)
      : ServedApi({.api = with_tokens(fairness),
                   .front = std::move(f),
                   .http = std::move(o),
                   .tls = false}) {}
  static ApiServerOptions with_tokens(bool fairness) {
    ApiServerOptions a;
    a.flow.enabled = fairness;
    Caller user;
    user.name = "jane";
    user.groups = {"system:masters"};
    a.auth.static_tokens["secret"] = user;
    user.name = "joe";
    user.groups = {"system:authenticated"};
    a.auth.static_tokens["plain"] = user;
    return a;
  }
  std::string raw(std::string first, size_t more = 0, Duration within = 10s) {
    auto got = run(exchange_raw(ctx.with_timeout(within), http->port(), std::move(first), more));
    return got.ok() ? *got : got.status().to_string();
  }
};

std::string post(const std::string& token, const std::string& length, const std::string& extra = "",
                 const std::string& query = "") {
  std::string out = "POST " + std::string(kMaps) + query + " HTTP/1.1\r\nHost: a\r\n";
  if (!token.empty()) out += "Authorization: Bearer " + token + "\r\n";
  return out + "Content-Type: application/json\r\nContent-Length: " + length + "\r\n" + extra +
         "\r\n";
}

TEST(Flood, BodiesAreNotReadForStrangers) {
  Plain s;
  // Nothing of the body was sent: who reads it first would wait for ever.
  EXPECT_TRUE(s.raw(post("", "1000000")).starts_with("HTTP/1.1 403")) << "anonymous";
  EXPECT_TRUE(s.raw(post("wrong", "1000000")).starts_with("HTTP/1.1 401"));
  EXPECT_TRUE(s.raw(post("plain", "1000000")).starts_with("HTTP/1.1 403"));
  EXPECT_TRUE(s.raw(post("", "1000000", "Expect: 100-continue\r\n")).starts_with("HTTP/1.1 403"))
      << "no 100 for a stranger";
  EXPECT_EQ(s.http->bytes_in_flight(), 0u);
}

TEST(Flood, TooLargeReachesWhoStillSends) {
  Plain s;
  std::string answer = s.raw(post("secret", "20000000"), 20'000'000);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 413")) << answer.substr(0, 200);
  EXPECT_NE(answer.find("Request entity too large: limit is 3145728"), std::string::npos);
  answer = s.raw(post("secret", "20000000", "Expect: 100-continue\r\n"));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 413"));
  answer = s.raw(post("wrong", "20000000"), 20'000'000);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 401")) << answer.substr(0, 200);
  // A length that is not said.
  std::string chunked = "POST " + std::string(kMaps) +
                        " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\n"
                        "Transfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n";
  answer = s.raw(chunked, 8'000'000);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 413")) << answer.substr(0, 200);
}

TEST(Flood, SlowBodies) {
  Plain s;
  const TimePoint start = s.loop->now();
  std::string answer = s.raw(post("secret", "100", "", "?timeout=300ms") + "{");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 504")) << answer;
  EXPECT_NE(answer.find("request did not complete within the allotted timeout"), std::string::npos);
  EXPECT_LT(s.loop->now() - start, 5s);
  EXPECT_EQ(s.http->bytes_in_flight(), 0u);
  // A body that is asked for comes in as before, in pieces too.
  answer = s.raw(post("secret", "26", "Connection: close\r\nExpect: 100-continue\r\n") +
                 R"({"metadata":{"name":"ok"}})");
  EXPECT_NE(answer.find("HTTP/1.1 201"), std::string::npos) << answer;
}

// How many changing requests hold a place, as the metrics say.
int held_places() {
  const std::string series = "apiserver_current_inflight_requests{request_kind=\"mutating\"} ";
  const std::string text = metrics::expose();
  size_t at = text.find(series);
  return at == text.npos ? 0 : std::atoi(text.c_str() + at + series.size());
}

// Sends heads whose bodies never come, and waits until they hold their places in the gate.
Task<bool> linger_in_body(Context ctx, uint16_t port, std::vector<std::string> heads,
                          std::vector<std::unique_ptr<net::ByteStream>>* kept) {
  const int wanted = static_cast<int>(heads.size());
  for (std::string& head : heads) {
    auto made = co_await net::dial(ctx, "127.0.0.1", port);
    if (!made.ok()) co_return false;
    Status s = co_await (*made)->write(ctx, std::move(head));
    if (!s.ok()) co_return false;
    kept->push_back(std::move(*made));
  }
  Status slept;
  while (slept.ok() && held_places() != wanted) slept = co_await ctx.sleep(1ms);
  co_return slept.ok();
}

TEST(Flood, InFlightGate) {
  FrontOptions f;
  f.max_mutating_requests_inflight = 2;
  f.max_requests_inflight = 2;
  Plain s(usual_server_options(), f, false);
  std::vector<std::unique_ptr<net::ByteStream>> kept;
  Caller almighty;
  std::vector<std::string> heads = {post("secret", "100"), post("secret", "100")};
  s.run(linger_in_body(s.ctx.with_timeout(5s), s.http->port(), heads, &kept));
  const std::string review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const std::string body = R"({"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}})";
  const std::string ask = "POST " + review +
                          " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer plain\r\n"
                          "Connection: close\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + body;
  std::string answer = s.raw(ask);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 429 Too Many Requests")) << answer;
  EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("Too many requests, please try again later.\n"));
  // Reads have their own places; those of system:masters are served in any case.
  EXPECT_TRUE(s.raw("GET /version HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                  .starts_with("HTTP/1.1 200"));
  answer = s.raw(post("secret", "25", "Connection: close\r\n") + R"({"metadata":{"name":"a"}})");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 201")) << answer;
  kept.clear();
  s.run(linger_in_body(s.ctx.with_timeout(5s), s.http->port(), {}, &kept));
  answer = s.raw(ask);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 201")) << "places are given back: " << answer;
}

Task<void> count_gets(ServedApi* s, net::HttpClient* by, bool* stop, int* n) {
  while (!*stop) {
    net::Request r("GET", "/version");
    auto got = co_await by->send(s->ctx.with_timeout(20s), std::move(r));
    if (!got.ok()) co_return;
    ++*n;
  }
}
Task<void> get_once(ServedApi* s, net::HttpClient* by, int* n) {
  net::Request r("GET", "/version");
  auto got = co_await by->send(s->ctx.with_timeout(20s), std::move(r));
  EXPECT_TRUE(got.ok()) << got.status().message();
  ++*n;
}

// Handshakes take turns with the requests of who is connected.
TEST(Flood, Handshakes) {
  ServedApi s;
  auto connected = s.connect(s.admin());
  EXPECT_EQ(s.send(connected.get(), net::Request("GET", "/version")).status, 200);
  constexpr int kStrangers = 64;
  std::vector<std::unique_ptr<net::HttpClient>> strangers;
  for (int i = 0; i < kStrangers; ++i) strangers.push_back(s.connect(std::nullopt));
  int served = 0, come = 0;
  bool stop = false;
  struct All {
    static Task<bool> come(ServedApi* s, std::vector<std::unique_ptr<net::HttpClient>>* strangers,
                           net::HttpClient* connected, bool* stop, int* served, int* n) {
      TaskGroup crowd(*s->loop), other(*s->loop);
      for (auto& c : *strangers) crowd.spawn(get_once(s, c.get(), n));
      other.spawn(count_gets(s, connected, stop, served));
      co_await crowd.join();
      *stop = true;
      co_await other.join();
      co_return true;
    }
  };
  s.run(All::come(&s, &strangers, connected.get(), &stop, &served, &come));
  EXPECT_EQ(come, kStrangers);
  EXPECT_GT(served, 16);
}

// What the level of its requests has to say of a client, once FlowSchemas act.
TEST(Flood, PriorityLevels) {
  Plain s;
  const std::string flow = "/apis/flowcontrol.apiserver.k8s.io/v1/";
  auto make = [&](const std::string& what, const std::string& body) {
    return s.raw("POST " + flow + what +
                 " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\n" +
                 "Content-Type: application/json\r\nConnection: close\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  EXPECT_TRUE(make("prioritylevelconfigurations",
                   R"({"metadata":{"name":"narrow"},"spec":{"type":"Limited","limited":{)"
                   R"("nominalConcurrencyShares":0,"borrowingLimitPercent":0,)"
                   R"("limitResponse":{"type":"Reject"}}}})")
                  .starts_with("HTTP/1.1 201"));
  EXPECT_TRUE(
      make(
          "flowschemas",
          R"({"metadata":{"name":"joes"},"spec":{"priorityLevelConfiguration":{"name":"narrow"},)"
          R"("matchingPrecedence":100,"rules":[{"subjects":[{"kind":"User","user":{"name":"joe"}}],)"
          R"("resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],)"
          R"("clusterScope":true,"namespaces":["*"]}]}]}})")
          .starts_with("HTTP/1.1 201"));
  s.api->flow().refresh(*s.loop);
  auto uid_of = [&](const std::string& what) {
    const std::string text = s.raw("GET " + flow + what +
                                   " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\n"
                                   "Connection: close\r\n\r\n");
    const size_t at = text.find("\"uid\":\"");
    return at == text.npos ? std::string("none") : text.substr(at + 7, 36);
  };
  const std::string schema = "X-Kubernetes-Pf-Flowschema-Uid: ",
                    level = "X-Kubernetes-Pf-Prioritylevel-Uid: ";
  auto get = [&](const std::string& token, const std::string& path) {
    return s.raw("GET " + path + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token +
                 "\r\nConnection: close\r\n\r\n");
  };
  // A level without a seat lets one pass at a time.
  const std::string pods = "/api/v1/namespaces/default/pods";
  std::string answer = get("plain", pods);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 403")) << answer;
  EXPECT_NE(answer.find(schema + uid_of("flowschemas/joes")), answer.npos) << answer;
  EXPECT_NE(answer.find(level + uid_of("prioritylevelconfigurations/narrow")), answer.npos);
  // Others' requests are of other levels, and errors and paths say so as well.
  for (const char* path :
       {"/version", "/api/v1/namespaces/default/pods/none", "/nothing", "/apis"}) {
    answer = get("secret", path);
    EXPECT_NE(answer.find(schema + uid_of("flowschemas/exempt")), answer.npos) << answer;
    EXPECT_NE(answer.find(level + uid_of("prioritylevelconfigurations/exempt")), answer.npos);
  }
  EXPECT_EQ(get("wrong", "/version").find(schema), std::string::npos) << "nobody knows whose it is";
  EXPECT_NE(get("secret", "/metrics").find("apiserver_flowcontrol_dispatched_requests_total"),
            std::string::npos);
  EXPECT_NE(get("secret", "/debug/api_priority_and_fairness/dump_priority_levels").find("narrow,"),
            std::string::npos);
  EXPECT_TRUE(
      get("plain", "/debug/api_priority_and_fairness/dump_requests").starts_with("HTTP/1.1 403"));
}

// Requests wait for seats, and are told to come back when they have waited for a quarter of their
// time.
TEST(Flood, RequestsWaitForSeats) {
  Plain s(usual_server_options(), {}, true);
  const std::string patch =
      R"({"metadata":{"annotations":{"apf.kubernetes.io/autoupdate-spec":"false"}},"spec":{"limited":)"
      R"({"nominalConcurrencyShares":1,"borrowingLimitPercent":0,"lendablePercent":0}}})";
  EXPECT_TRUE(
      s.raw(
           "PATCH /apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations/global-default "
           "HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\nConnection: close\r\n"
           "Content-Type: application/merge-patch+json\r\nContent-Length: " +
           std::to_string(patch.size()) + "\r\n\r\n" + patch)
          .starts_with("HTTP/1.1 200"));
  s.api->flow().refresh(*s.loop);
  auto figures = [&] {
    auto all = s.api->flow().levels();
    auto at = std::find_if(all.begin(), all.end(),
                           [](const auto& l) { return l.name == "global-default"; });
    return *at;
  };
  const int seats = figures().current;
  ASSERT_TRUE(seats > 0 && seats < 8) << seats;
  // Heads whose bodies never come hold all of them: reviews, which everybody may ask for.
  const std::string review = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const std::string head =
      " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer plain\r\n"
      "Content-Type: application/json\r\n";
  std::vector<std::string> heads(static_cast<size_t>(seats),
                                 review + head + "Content-Length: 100\r\n\r\n");
  std::vector<std::unique_ptr<net::ByteStream>> kept;
  s.run(linger_in_body(s.ctx.with_timeout(5s), s.http->port(), heads, &kept));
  const std::string body = R"({"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}})";
  auto ask = [&](const std::string& query) {
    return s.raw(review + query + head + "Connection: close\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n" + body);
  };
  const std::string answer = ask("?timeout=400ms");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 429 Too Many Requests")) << answer;
  EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("X-Kubernetes-Pf-Flowschema-Uid: "), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("Too many requests, please try again later.\n"));
  EXPECT_NE(s.api->flow().metrics(*s.loop).find("reason=\"time-out\"} 1\n"), std::string::npos);
  kept.clear();
  EXPECT_TRUE(ask("").starts_with("HTTP/1.1 201")) << "they are given back to who waits";
}

// --- pieces ---

// The same page in stretches: runs of five, of the first and last of which not all is in the list.
registry::ListPage in_stretches(const registry::ListPage& page) {
  constexpr size_t kRun = 5;
  registry::ListPage out = page;
  out.items.clear();
  std::vector<ObjectPtr> all = page.items;
  if (all.empty()) return out;
  all.insert(all.begin(), all[0]);
  all.push_back(all[0]);
  for (size_t at = 0; at < all.size(); at += kRun) {
    const size_t n = std::min(kRun, all.size() - at);
    const auto begin = all.begin() + static_cast<ptrdiff_t>(at);
    auto run = std::make_shared<const ObjectRun>(
        std::vector<ObjectPtr>(begin, begin + static_cast<ptrdiff_t>(n)));
    ObjectStretch s{run, at == 0 ? 1u : 0u, at + n == all.size() ? n - 1 : n};
    if (s.size() > 0) out.stretches.push_back(std::move(s));
  }
  return out;
}

std::string joined(const KindDesc& kind, const registry::ListPage& page, const Rendering& r) {
  ListPieces pieces(kind, page, r);
  std::string out;
  while (!pieces.done()) {
    for (const Part& p : pieces.next()) out += *p;
  }
  return out;
}

TEST(ListPieces, OfStretchesAreThoseOfTheirObjects) {
  const KindDesc& kind = *find_kind("v1", "ConfigMap");
  for (int n : {0, 1, 3, 4, 5, 23}) {
    registry::ListPage page;
    page.revision = 77;
    for (int i = 0; i < n; ++i) {
      auto doc = parse_json(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"m)" +
                            std::to_string(i) + R"("},"data":{"a":"b"}})");
      page.items.push_back(Object::from_document(kind, std::move(*doc)));
    }
    for (Format format : {Format::kJson, Format::kProtobuf}) {
      Rendering r;
      r.accepted.format = format;
      registry::ListPage stretches = in_stretches(page);
      EXPECT_EQ(joined(kind, stretches, r), joined(kind, page, r)) << n;
      EXPECT_EQ(joined(kind, stretches, r), joined(kind, page, r)) << n;  // from what was kept
    }
  }
}

// A list in pieces is, byte for byte, the list made whole.
TEST(ListPieces, JoinToTheWhole) {
  const KindDesc& kind = *find_kind("v1", "ConfigMap");
  for (int n : {0, 1, 3, 4000}) {
    registry::ListPage page;
    page.revision = 77;
    page.continue_ = n == 3 ? "abc" : "";
    if (n == 3) page.remaining = 12;
    std::string items;
    for (int i = 0; i < n; ++i) {
      auto doc = parse_json(R"({"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"m)" +
                            std::to_string(i) +
                            R"(","namespace":"default","resourceVersion":"5"},)"
                            R"("data":{"b":"- x\n\ty: [","a":"{\"q\": \"\\u00e9\"}, ]"}})");
      page.items.push_back(Object::from_document(kind, std::move(*doc)));
      if (i) items += ',';
      append_list_item(items, *page.items.back());  // its kind is the list's
    }
    std::string whole = R"({"kind":"ConfigMapList","apiVersion":"v1","metadata":{)"
                        R"("resourceVersion":"77")";
    if (n == 3) whole += R"(,"continue":"abc","remainingItemCount":12)";
    whole += "},\"items\":[" + items + "]}";
    for (Format format : {Format::kJson, Format::kYaml, Format::kProtobuf}) {
      for (bool pretty : {false, true}) {
        Rendering r;
        r.accepted.format = format;
        r.pretty = pretty;
        ListPieces pieces(kind, page, r);
        std::string joined;
        int count = 0;
        while (!pieces.done()) {
          ++count;
          for (const Part& p : pieces.next()) joined += *p;
        }
        EXPECT_GE(count, n == 4000 ? 2 : 1);
        if (format != Format::kProtobuf) {
          EXPECT_EQ(joined, finished(whole, r));
          continue;
        }
        auto list = decode_object_protobuf(*find_kind("v1", "ConfigMapList"), joined);
        ASSERT_TRUE(list.ok()) << list.status().to_string();
        EXPECT_EQ(list->root["items"].size(), static_cast<size_t>(n));
        EXPECT_EQ(list->root["metadata"]["resourceVersion"].as_string(), "77");
        EXPECT_EQ(encode_object(*find_kind("v1", "ConfigMapList"), list->root), joined);
      }
    }
  }
}

}  // namespace
}  // namespace keles::server
