-- Records that asynq has every part of the job.
if redis.call('HGET', job_key, 'phase') == 'planned' then redis.call('HSET', job_key, 'phase', 'submitted') end
return {1}
