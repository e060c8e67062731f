// Events as they are written, the log that is put aside, the webhook that is sent batches.
#include <gtest/gtest.h>

#include <map>

#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "machinery/codec_json.h"
#include "net/http.h"
#include "server/audit/auditor.h"
#include "server/audit/log_file.h"

namespace keles::audit {
namespace {

Json json(std::string text) { return {std::make_shared<const std::string>(std::move(text))}; }

Event an_event() {
  Event e;
  e.how.level = Level::kRequestResponse;
  e.stage = Stage::kResponseComplete;
  e.id = "id-1";
  e.uri = "/api/v1/namespaces/a/pods?x=<y>";
  e.verb = "create";
  e.user_agent = "kubectl/v1.36";
  auto user = std::make_shared<Caller>();
  user->name = "tim";
  user->groups = {"a", "b"};
  user->extra = {{"k", {"v"}}};
  e.user = user;
  e.source_ips = {"10.0.0.1"};
  e.has_object = true;
  e.object.resource = "pods";
  e.object.ns = "a";
  e.object.version = "v1";
  e.code = 201;
  e.request = json("{\"kind\":\"Pod\"}");
  e.response = json("{\"kind\":\"Pod\",\"x\":1}\n");
  e.received = WallTime{1'700'000'000'123'456'789};
  e.at = e.received + 1ms;
  e.annotations = {{"b", "2"}, {"a", "1"}, {"b", "3"}};
  return e;
}

TEST(AuditEvent, IsUpstreamsJson) {
  EXPECT_EQ(
      "{" + event_members(an_event()) + "}",
      "{\"level\":\"RequestResponse\",\"auditID\":\"id-1\",\"stage\":\"ResponseComplete\","
      "\"requestURI\":\"/api/v1/namespaces/a/pods?x=\\u003cy\\u003e\",\"verb\":\"create\","
      "\"user\":{\"username\":\"tim\",\"groups\":[\"a\",\"b\"],\"extra\":{\"k\":[\"v\"]}},"
      "\"sourceIPs\":[\"10.0.0.1\"],\"userAgent\":\"kubectl/v1.36\",\"objectRef\":{"
      "\"resource\":\"pods\",\"namespace\":\"a\",\"apiVersion\":\"v1\"},\"responseStatus\":{"
      "\"metadata\":{},\"code\":201},\"requestObject\":{\"kind\":\"Pod\"},\"responseObject\":"
      "{\"kind\":\"Pod\",\"x\":1},\"requestReceivedTimestamp\":\"2023-11-14T22:13:20.123456Z\","
      "\"stageTimestamp\":\"2023-11-14T22:13:20.124456Z\",\"annotations\":{\"a\":\"1\","
      "\"b\":\"2\"}}");
}

TEST(AuditEvent, TellsByWhichVerbSomebodyActedAsAnother) {
  Event e = an_event();
  e.impersonated = std::make_shared<Caller>();
  e.constraint = "impersonate-on:user-info:get";
  EXPECT_NE(event_members(e).find("\"impersonatedUser\":{},\"authenticationMetadata\":{"
                                  "\"impersonationConstraint\":\"impersonate-on:user-info:get\"},"
                                  "\"sourceIPs\""),
            std::string::npos);
}

TEST(AuditEvent, CutDownItSaysSo) {
  const std::string text = event_members(an_event(), false);
  EXPECT_EQ(text.find("requestObject"), std::string::npos);
  EXPECT_EQ(text.find("responseObject"), std::string::npos);
  EXPECT_NE(text.find("\"audit.k8s.io/truncated\":\"true\""), std::string::npos);
}

TEST(AuditEvent, PatchesOfWebhooksAreToldWhereObjectsAre) {
  Event e = an_event();
  e.annotations = {{"patch.webhook.admission.k8s.io/round_0_index_0", "{}"}};
  EXPECT_NE(event_members(e).find("patch.webhook"), std::string::npos);
  e.how.level = Level::kMetadata;
  EXPECT_EQ(event_members(e).find("patch.webhook"), std::string::npos);
  EXPECT_EQ(event_members(e).find("annotations"), std::string::npos);
}

TEST(AuditEvent, FailuresHaveTheirStatus) {
  Event e = an_event();
  e.status = status_members(Status::not_found("", "pods", "x"));
  e.code = 404;
  EXPECT_NE(
      event_members(e).find("\"responseStatus\":{\"metadata\":{},\"status\":\"Failure\","
                            "\"message\":\"pods \\\"x\\\" not found\",\"reason\":\"NotFound\","
                            "\"details\":{\"name\":\"x\",\"kind\":\"pods\"},\"code\":404}"),
      std::string::npos)
      << event_members(e);
}

TEST(AuditEvent, HasTheOldLine) {
  Event e = an_event();
  EXPECT_EQ(legacy_line(e),
            "2023-11-14T22:13:20.123456789Z AUDIT: id=\"id-1\" stage=\"ResponseComplete\" "
            "ip=\"10.0.0.1\" method=\"create\" user=\"tim\" groups=\"\\\"a\\\",\\\"b\\\"\" "
            "as=\"<self>\" asgroups=\"<lookup>\" user-agent=\"kubectl/v1.36\" namespace=\"a\" "
            "uri=\"/api/v1/namespaces/a/pods?x=<y>\" response=\"201\"");
}

TEST(AuditEvent, KnowsWhereARequestCameFrom) {
  using Ips = std::vector<std::string>;
  EXPECT_EQ(source_ips("", "", "10.0.0.1:34"), Ips({"10.0.0.1"}));
  EXPECT_EQ(source_ips("1.1.1.1, 2.2.2.2", "", "10.0.0.1:34"),
            Ips({"1.1.1.1", "2.2.2.2", "10.0.0.1"}));
  EXPECT_EQ(source_ips("1.1.1.1,nonsense", "3.3.3.3", "10.0.0.1:34"),
            Ips({"1.1.1.1", "3.3.3.3", "10.0.0.1"}));
  EXPECT_EQ(source_ips("1.1.1.1", "1.1.1.1", "1.1.1.1:5"), Ips({"1.1.1.1"}));
  EXPECT_EQ(source_ips("", "", "[::1]:443"), Ips({"::1"}));
  EXPECT_EQ(source_ips("", "", ""), Ips());
}

TEST(AuditEvent, LeavesManagedFieldsOut) {
  EXPECT_EQ(without_managed_fields(json("{\"metadata\":{\"name\":\"a\",\"managedFields\":[1]}}")),
            "{\"metadata\":{\"name\":\"a\"}}");
  EXPECT_EQ(
      without_managed_fields(json("{\"items\":[{\"metadata\":{\"managedFields\":[]}}],"
                                  "\"rows\":[{\"object\":{\"metadata\":{\"managedFields\":1}}}]"
                                  "}")),
      "{\"items\":[{\"metadata\":{}}],\"rows\":[{\"object\":{\"metadata\":{}}}]}");
}

TEST(AuditEvent, NamesWhatWasTried) {
  EXPECT_EQ(failed_authentication("Bearer x", true, false),
            "Authentication failed, attempted: bearer, x509");
  EXPECT_EQ(failed_authentication("", false, false),
            "Authentication failed, no credentials provided");
}

TEST(AuditLog, IsPutAsideAndTidied) {
  TemporaryDirectory dir = *TemporaryDirectory::make();
  LogOptions o;
  o.path = dir.path() + "/logs/audit.log";
  o.max_size = 1;
  o.max_backups = 2;
  o.compress = true;
  auto log = LogFile::open(o);
  ASSERT_TRUE(log.ok()) << log.status().message();
  const std::string line = std::string(700 * 1024, 'x') + "\n";
  const WallTime now{1'700'000'000'000'000'000};
  for (int i = 0; i < 5; ++i) ASSERT_TRUE((*log)->write(line, now + i * 1s).ok());
  EXPECT_FALSE((*log)->write(line + line, now).ok());  // longer than a file may be
  ASSERT_TRUE(LogFile::tidy(o, now + 10s).ok());
  auto files = list_directory(dir.path() + "/logs");
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(*files,
            (std::vector<std::string>{"audit-2023-11-14T22-13-23.000.log.gz",
                                      "audit-2023-11-14T22-13-24.000.log.gz", "audit.log"}));
  auto last = read_file(o.path);
  ASSERT_TRUE(last.ok());
  EXPECT_EQ(last->size(), line.size());
  o.max_age = 1;
  ASSERT_TRUE(LogFile::tidy(o, now + 100h).ok());
  EXPECT_EQ(list_directory(dir.path() + "/logs")->size(), 1u);
}

std::string write_policy(const TemporaryDirectory& dir) {
  const std::string path = dir.path() + "/policy.yaml";
  EXPECT_TRUE(write_file(path,
                         "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: "
                         "RequestResponse\n")
                  .ok());
  return path;
}

Event event_of(const Auditor& auditor, const std::string& id) {
  Question q;
  q.user = "tim";
  q.verb = "get";
  q.path = "/x";
  auto e = auditor.begin(q);
  EXPECT_TRUE(e);
  Event out = an_event();
  out.how = e->how;
  out.id = id;
  return out;
}

Task<void> record_some(Context ctx, const Auditor* auditor, int n, bool* fine) {
  for (int i = 0; i < n; ++i) {
    Event e = event_of(*auditor, "e" + std::to_string(i));
    bool taken = co_await auditor->record(ctx, &e, Stage::kResponseComplete);
    *fine = *fine && taken;
  }
}

TEST(Auditor, WritesLinesThatAreJson) {
  TemporaryDirectory dir = *TemporaryDirectory::make();
  auto loop = make_real_loop();
  Options o;
  o.policy_file = write_policy(dir);
  o.log.path = dir.path() + "/audit.log";
  auto auditor = Auditor::make(*loop, o, std::nullopt);
  ASSERT_TRUE(auditor.ok()) << auditor.status().message();
  bool fine = true;
  run_task(*loop, record_some(Context::root(*loop), auditor->get(), 3, &fine));
  EXPECT_TRUE(fine);
  auto text = read_file(o.log.path);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(std::count(text->begin(), text->end(), '\n'), 3);
  auto first = parse_json(text->substr(0, text->find('\n')));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->root["kind"].as_string(), "Event");
  EXPECT_EQ(first->root["auditID"].as_string(), "e0");
}

TEST(Auditor, CutsDownAndDropsWhatIsTooLarge) {
  TemporaryDirectory dir = *TemporaryDirectory::make();
  auto loop = make_real_loop();
  Options o;
  o.policy_file = write_policy(dir);
  o.log.path = dir.path() + "/audit.log";
  o.log.truncate.enabled = true;
  o.log.truncate.max_event_size = 700;
  auto auditor = Auditor::make(*loop, o, std::nullopt);
  ASSERT_TRUE(auditor.ok());
  Event e = event_of(**auditor, "large");
  e.response = json("\"" + std::string(1000, 'x') + "\"");
  bool taken =
      run_task(*loop, (*auditor)->record(Context::root(*loop), &e, Stage::kResponseComplete));
  EXPECT_TRUE(taken);
  e.uri = std::string(1000, '/');
  (void)run_task(*loop, (*auditor)->record(Context::root(*loop), &e, Stage::kResponseComplete));
  auto text = read_file(o.log.path);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(std::count(text->begin(), text->end(), '\n'), 1);
  EXPECT_NE(text->find("audit.k8s.io/truncated"), std::string::npos);
}

TEST(Auditor, RefusesRequestsOnlyWhenStrict) {
  TemporaryDirectory dir = *TemporaryDirectory::make();
  auto loop = make_real_loop();
  for (const char* mode : {"blocking", "blocking-strict"}) {
    Options o;
    o.policy_file = write_policy(dir);
    o.log.path = "/dev/full";
    o.log.max_size = 0;
    o.log.batch.mode = mode;
    auto auditor = Auditor::make(*loop, o, std::nullopt);
    ASSERT_TRUE(auditor.ok()) << auditor.status().message();
    bool fine = true;
    run_task(*loop, record_some(Context::root(*loop), auditor->get(), 1, &fine));
    EXPECT_EQ(fine, std::string(mode) == "blocking");
  }
}

// A webhook that refuses the first post and keeps the others.
struct Receiver {
  std::vector<std::string> bodies;
  int refuse = 1;
  Task<void> handle(Context ctx, net::Request* request, net::Responder* responder) {
    (void)ctx;
    const bool no = refuse-- > 0;
    if (!no)
      bodies.push_back(request->method + " " + request->path + "?" + request->query + "\n" +
                       request->body);
    net::Headers none;
    std::vector<net::SharedBytes> empty;
    const int code = no ? 500 : 200;
    Status s = co_await responder->respond(code, std::move(none), std::move(empty));
    (void)s;
  }
};

Task<void> through_webhook(Context ctx, Auditor* auditor, Receiver* got, int n, bool* fine) {
  Context running = ctx.child();
  TaskGroup group(ctx.loop());
  group.spawn(auditor->run(running));
  co_await record_some(ctx, auditor, n, fine);
  for (int i = 0; i < 500; ++i) {
    size_t seen = 0;
    for (const std::string& b : got->bodies) {
      for (size_t at = 0; (at = b.find("\"auditID\"", at)) != std::string::npos; ++at) ++seen;
    }
    if (seen == static_cast<size_t>(n)) break;
    Status s = co_await ctx.sleep(10ms);
    (void)s;
  }
  running.cancel();
  co_await group.join();
}

TEST(Auditor, SendsBatchesAndTriesAgain) {
  for (const char* mode : {"batch", "blocking-strict"}) {
    TemporaryDirectory dir = *TemporaryDirectory::make();
    auto loop = make_real_loop();
    Receiver got;
    auto server = net::Server::start({loop.get()}, net::ServerOptions(),
                                     [&got](Context ctx, net::Request* rq, net::Responder* rs) {
                                       return got.handle(ctx, rq, rs);
                                     });
    ASSERT_TRUE(server.ok());
    Options o;
    o.policy_file = write_policy(dir);
    o.webhook.initial_backoff = 1ms;
    o.webhook.batch.mode = mode;
    o.webhook.batch.max_wait = 20ms;
    WebhookTarget target;
    target.endpoint.host = "127.0.0.1";
    target.endpoint.port = (*server)->port();
    target.path = "/events";
    auto auditor = Auditor::make(*loop, o, target);
    ASSERT_TRUE(auditor.ok()) << auditor.status().message();
    bool fine = true;
    run_task(*loop, through_webhook(Context::root(*loop), auditor->get(), &got, 5, &fine));
    EXPECT_TRUE(fine);
    const bool batch = std::string(mode) == "batch";
    ASSERT_EQ(got.bodies.size(), batch ? 1u : 5u);
    EXPECT_TRUE(got.bodies[0].starts_with(
        "POST /events?timeout=30s\n{\"kind\":\"EventList\",\"apiVersion\":\"audit.k8s.io/v1\","
        "\"metadata\":{},\"items\":[{\"level\":\"RequestResponse\",\"auditID\":\"e0\","))
        << got.bodies[0];
    run_task(*loop, (*server)->stop(Context::root(*loop)));
  }
}

}  // namespace
}  // namespace keles::audit
