// CronJobs that run every minute, by each way of bearing a run that has not ended.
#include "api/batch_v1.h"
#include "machinery/codec_yaml.h"
#include "sim/workloads/kinds.h"

namespace keles::sim {
namespace {

namespace batch = api::batch_v1;

constexpr int64_t kGood = 2, kBad = 1;  // finished Jobs that are kept

class CronJobs final : public KindWorkload {
 public:
  CronJobs() : KindWorkload(&kind_of<batch::CronJob>()) {}

  // None goes on for ever: what runs now is the last.
  Task<Status> finish(Context ctx, Client* admin) override {
    auto all = co_await admin->list<batch::CronJob>(ctx, "");
    if (!all.ok()) co_return all.status();
    for (auto& cron : *all) {
      if (cron->spec().suspend()) continue;
      Draft<batch::CronJobEdit> d(*cron);
      d->edit_spec().set_suspend(true);
      auto r = co_await admin->update<batch::CronJob>(ctx, d.take());
      if (!r.ok() && !r.status().is(Reason::kNotFound)) co_return r.status();
    }
    co_return Status();
  }

  std::string check(const Look& look) const override {
    return look.each<batch::CronJob>(
        "/registry/cronjobs/", [&](const batch::CronJob& cron) -> std::string {
          if (Look::is_dying(cron.metadata()) || look.is_closing(cron.metadata())) return "";
          int64_t active = 0, good = 0, bad = 0;
          bool held = false;
          const std::string jobs =
              "/registry/jobs/" + std::string(cron.metadata().namespace_()) + "/";
          look.each<batch::Job>(jobs, [&](const batch::Job& job) {
            bool ours = false;
            for (auto r : job.metadata().owner_references()) {
              ours = ours || (r.controller() && r.uid() == cron.metadata().uid());
            }
            if (!ours) return "";
            held = held || Look::is_dying(job.metadata());
            good += is_true(job.status().conditions(), "Complete");
            bad += is_true(job.status().conditions(), "Failed");
            active += !is_true(job.status().conditions(), "Complete") &&
                      !is_true(job.status().conditions(), "Failed");
            return "";
          });
          if (held) return "";
          if (good > kGood || bad > kBad) return "keeps more finished Jobs than it is to";
          if (active > 1 && cron.spec().concurrency_policy() != "Allow")
            return "runs twice at once";
          if (static_cast<int64_t>(cron.status().active().size()) != active) {
            return "does not tell what is active";
          }
          return "";
        });
  }

 protected:
  std::string body(Random& random, const std::string& app) override {
    const char* policies[] = {"Allow", "Forbid", "Replace"};
    const char* zones[] = {"", ", timeZone: Europe/Berlin", ", timeZone: America/New_York"};
    return std::string("spec: {schedule: '* * * * *', concurrencyPolicy: ") +
           policies[random.below(3)] + zones[random.below(3)] +
           ", successfulJobsHistoryLimit: " + std::to_string(kGood) +
           ", failedJobsHistoryLimit: " + std::to_string(kBad) +
           ", startingDeadlineSeconds: 90, jobTemplate: {spec: {backoffLimit: 1, template: " +
           pod_template(random, app, "Never") + "}}}\n";
  }
  std::string change(Random& random) override {
    return std::string("spec: {suspend: ") + (random.chance(0.3) ? "true" : "false") + "}";
  }
};

}  // namespace

std::unique_ptr<Workload> make_cronjobs() { return std::make_unique<CronJobs>(); }

}  // namespace keles::sim
