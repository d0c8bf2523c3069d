/* The bound of `simulator_speed.py`: the recurrences of `ecguard.simulator.march` by hand.

   Voltammograms on one even grid, without jumps after the start; current only. The traces of a
   group stay in the lanes of vectors from the first sample to the last. */

#include <math.h>
#include <stdlib.h>

#define LANES 32
#define MOST_COUPLES 8
#define MOST_MODES 40
#define FARADAY 96485.33212f
#define GAS_CONSTANT 8.314462618f
#define PI 3.14159265f
#define ROOT_STEP_V 1e-4f
#define ROOT_LIMIT 60
#define EACH_LANE _Pragma("omp simd") for (int b = 0; b < LANES; b++)

typedef float Lanes[LANES] __attribute__((aligned(64)));

enum { AREA, RESISTANCE, CAPACITANCE, TEMPERATURE, DURATION, CELL };
enum { D_OX, D_RED, C_OX, C_RED, E0, K0, ALPHA, COUPLE };
enum {
    THETA, K_ADS, K_DES, K_CLEAN, K_REACTION, FILM, CDL_FRACTION, AREA_FLOOR, K0_COEFFICIENT,
    FILM_EXPONENT, AREA_EXPONENT, CDL_FLOOR, ADSORPTION, CLEAN_ABOVE, PATCH, FOULING
};

typedef struct {
    int traces, samples, couples, modes;
    const float *applied;                 /* [traces, samples], V */
    const float *cell, *couple, *fouling; /* [CELL, n], [COUPLE, m, n], [FOULING, n] or NULL */
    const float *decay, *seen, *held; /* [modes]: kept over a step, share in the semi-integral,
                                         and what a flux held from the start leaves */
    float newest;                     /* share of the last flux in the semi-integral */
    float *current;                       /* [traces, samples], mA/cm^2 */
} Job;

typedef struct {
    Lanes c_ox, c_red, E0, alpha, slowness, clean, per_ox, per_red; /* slowness is 1/k0 */
    Lanes past, weight, flux, slope, last, tail, share;
    Lanes mode[MOST_MODES];
} Couple;

/* exp by a polynomial, to 2e-7 */
static inline float exp_(float x)
{
    union { int i; float f; } power;
    x = fmaxf(x, -87.0f);
    float n = rintf(x * 1.44269504f), r = x - n * 0.693147181f;
    float p = 1 + r * (1 + r * (0.5f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f + r / 720)))));
    power.i = ((int)n + 127) << 23;
    return p * power.f;
}

/* (1 - exp(-x)) / x */
static inline float mean_decay(float x, float decay)
{
    float s = 1 - x / 6;
    s = 1 - x / 5 * s, s = 1 - x / 4 * s, s = 1 - x / 3 * s, s = 1 - x / 2 * s;
    return x < 0.3f ? s : (1 - decay) / fmaxf(x, 0.3f);
}

static inline float power(float base, float exponent)
{
    return exp_(exponent * logf(fmaxf(base, 1e-37f)));
}

static inline void rates(float phi, float alpha, float *reduction, float *oxidation, float *slowness)
{
    float rare = exp_(-fabsf(phi)), most = 1 / (1 + rare), least = rare * most;
    *reduction = phi > 0 ? least : most;
    *oxidation = phi > 0 ? most : least;
    *slowness *= exp_(alpha * phi - fmaxf(phi, 0)) * most;
}

static inline float lost_area(float theta, float floor, float exponent)
{
    return (1 - floor) * (1 - power(1 - theta, exponent));
}

static inline float slowing(float theta, float lost, float coefficient, float patch)
{
    return exp_(coefficient * theta) / (1 - (1 - patch) * lost);
}

static void group(const Job *job, int at, float *restrict E, float *restrict I)
{
    const int m = job->couples, n = job->traces, L = job->samples, fouled = job->fouling != NULL;
    int trace[LANES];
    Couple couple[MOST_COUPLES];
    Lanes cell[CELL], f[FOULING], inverse_thermal, step, root, R, C, film_R, film_C, area = {0};
    Lanes theta = {0}, gain = {0}, gain_before = {0}, adsorption = {0}, lag = {0}, slope;
    Lanes drop = {0}, drop_before = {0}, drop_past, kept, share, base, load, V, value, slow, next;
    Lanes lower, upper, faradaic, surface;
    const float h = 1.0f / (L - 1), constant = 2 / sqrtf(PI) * sqrtf(h);

    for (int b = 0; b < LANES; b++) {
        trace[b] = at + b < n ? at + b : n - 1;
        for (int k = 0; k < CELL; k++) cell[k][b] = job->cell[k * n + trace[b]];
        for (int k = 0; fouled && k < FOULING; k++) f[k][b] = job->fouling[k * n + trace[b]];
        for (int i = 0; i < L; i++) E[i * LANES + b] = job->applied[(long)trace[b] * L + i];
        inverse_thermal[b] = FARADAY / (GAS_CONSTANT * cell[TEMPERATURE][b]);
        step[b] = cell[DURATION][b] * h, root[b] = sqrtf(cell[DURATION][b]);
        R[b] = film_R[b] = cell[RESISTANCE][b] * cell[AREA][b];
        C[b] = film_C[b] = cell[CAPACITANCE][b] / cell[AREA][b];
        I[b] = surface[b] = 0, area[b] = slow[b] = 1;
        for (int j = 0; j < m; j++) {
            const float *c = job->couple + j * n + trace[b];
            const long field = (long)m * n;
            Couple *to = couple + j;
            to->c_ox[b] = c[C_OX * field] * 1e-6f, to->c_red[b] = c[C_RED * field] * 1e-6f;
            to->E0[b] = c[E0 * field], to->alpha[b] = c[ALPHA * field];
            to->slowness[b] = to->clean[b] = 1 / c[K0 * field];
            to->per_ox[b] = 1 / sqrtf(c[D_OX * field]), to->per_red[b] = 1 / sqrtf(c[D_RED * field]);
            to->last[b] = to->tail[b] = 0;
            for (int q = 0; q < job->modes; q++) to->mode[q][b] = 0;
            surface[b] += to->c_ox[b] + to->c_red[b];
        }
        if (fouled) {
            theta[b] = f[THETA][b];
            gain[b] = gain_before[b] = f[K_ADS][b] * surface[b];
        }
    }
    for (int i = 1; i < L; i++) {
        const float *at_end = E + i * LANES, *at_start = at_end - LANES;
        const float first = i == 1, growth = i > 1;
        const float lead = (1 + 2 * growth) / (1 + growth), squared = growth / (1 + growth);

        if (fouled) EACH_LANE {
            float low = fminf(at_start[b], at_end[b]), high = fmaxf(at_start[b], at_end[b]);
            float signal = (high - f[CLEAN_ABOVE][b]) / fmaxf(high - low, 1e-6f);
            float loss = f[K_DES][b] + f[K_CLEAN][b] * fminf(fmaxf(signal, 0), 1);
            float g = fmaxf(gain[b] + 0.5f * growth * (gain[b] - gain_before[b]), 0);
            float x = (g + loss) * step[b];
            float rate = (g - (g + loss) * theta[b]) * mean_decay(x, exp_(-x));
            theta[b] += rate * step[b];
            adsorption[b] = FARADAY * f[ADSORPTION][b] * rate;
            float lost = lost_area(theta[b], f[AREA_FLOOR][b], f[AREA_EXPONENT][b]);
            float open = (1 - f[CDL_FRACTION][b] * theta[b]) * (1 - lost);
            slow[b] = slowing(theta[b], lost, f[K0_COEFFICIENT][b], f[PATCH][b]);
            area[b] = 1 - f[PATCH][b] * lost;
            film_R[b] = R[b] + cell[AREA][b] * f[FILM][b] * power(theta[b], f[FILM_EXPONENT][b]);
            film_C[b] = C[b] * fmaxf(open, f[CDL_FLOOR][b]);
        }
        if (fouled || i == 1) EACH_LANE {
            float tau = film_R[b] * film_C[b] / step[b], ratio = 1 / fmaxf(tau, 1 / 80.0f);
            kept[b] = exp_(-ratio), share[b] = tau < 1 / 30.0f ? tau : mean_decay(ratio, kept[b]);
        }
        /* share of the tail in the first flux, as coverage leaves the couple */
        for (int j = 0; j < m && i == 1; j++) EACH_LANE {
            Couple *c = couple + j;
            float red, ox, slowness = c->clean[b] * slow[b];
            rates((at_start[b] - c->E0[b]) * inverse_thermal[b], c->alpha[b], &red, &ox, &slowness);
            float x = (red * c->per_ox[b] + ox * c->per_red[b]) * sqrtf(step[b]);
            float rising = x * (slowness + 0.6f * x);
            c->share[b] = rising / (rising + slowness * (2.66f * slowness + 1.06f * x));
        }
        EACH_LANE {
            float ramp = at_end[b] - at_start[b];
            float charging = film_R[b] * film_C[b] / step[b], divisor = 1 / (1 + charging * lead);
            float tau_kept = kept[b] / fmaxf(charging, 1 / 80.0f);
            slope[b] = (tau_kept * lag[b] + (1 - kept[b]) * ramp) / step[b];
            lag[b] = kept[b] * lag[b] + share[b] * ramp;
            drop_past[b] = (1 + growth) * drop[b] - squared * drop_before[b];
            float alone = at_end[b] - lag[b];
            V[b] = alone + drop[b] + growth * (drop[b] - drop_before[b]);
            base[b] = alone + divisor * (charging * drop_past[b] - film_R[b] * adsorption[b]);
            load[b] = divisor * film_R[b] * area[b] * FARADAY;
        }
        for (int j = 0; j < m; j++) {
            Couple *c = couple + j;
            Lanes sum;
            const float aged = 1 / sqrtf(PI * h * i), mixed = first + (1 - first) / 3;
            EACH_LANE sum[b] = c->last[b] * job->newest;
            for (int q = 0; q < job->modes; q++) {
                const float decay = job->decay[q], seen = job->seen[q];
                EACH_LANE {
                    sum[b] += seen * c->mode[q][b];
                    c->mode[q][b] = decay * c->mode[q][b] + c->last[b];
                }
            }
            if (fouled) EACH_LANE c->slowness[b] = c->clean[b] * slow[b];
            EACH_LANE {
                float weight = constant * (growth * 2 / 3 + first * (1 + (PI / 2 - 1) * c->share[b]));
                float settled = c->tail[b] * aged + first * c->last[b];
                float past = sum[b] + c->tail[b] + constant * mixed * c->last[b] - weight * settled;
                c->past[b] = root[b] * past, c->weight[b] = root[b] * weight;
            }
        }
        EACH_LANE lower[b] = -1e30f, upper[b] = 1e30f;
        for (int count = 0;; count++) {
            float furthest = 0;
            Lanes total = {0}, total_slope = {0};
            for (int j = 0; j < m; j++) {
                Couple *c = couple + j;
                EACH_LANE {
                    float red, ox, slowness = c->slowness[b], phi = (V[b] - c->E0[b]) * inverse_thermal[b];
                    rates(phi, c->alpha[b], &red, &ox, &slowness);
                    float per_ox = c->per_ox[b], per_red = c->per_red[b];
                    float c_ox = c->c_ox[b] - c->past[b] * per_ox;
                    float c_red = c->c_red[b] + c->past[b] * per_red;
                    float per_sum = 1 / (slowness + c->weight[b] * (red * per_ox + ox * per_red));
                    float flux = (red * c_ox - ox * c_red) * per_sum;
                    float sum_slope = slowness * (c->alpha[b] - ox)
                                    + c->weight[b] * red * ox * (per_red - per_ox);
                    c->flux[b] = flux;
                    c->slope[b] = -inverse_thermal[b] * per_sum
                                      * (red * ox * (c_ox + c_red) + flux * sum_slope);
                    total[b] += flux, total_slope[b] += c->slope[b];
                }
            }
            EACH_LANE {
                value[b] = V[b] - base[b] - load[b] * total[b];
                next[b] = V[b] - value[b] / (1 - load[b] * total_slope[b]);
            }
            _Pragma("omp simd reduction(max : furthest)")
            for (int b = 0; b < LANES; b++) furthest = fmaxf(furthest, fabsf(next[b] - V[b]));
            if (furthest <= ROOT_STEP_V || count == ROOT_LIMIT) break;
            EACH_LANE {
                lower[b] = fmaxf(lower[b], V[b] - fmaxf(value[b], 0));
                upper[b] = fminf(upper[b], V[b] - fminf(value[b], 0));
                int inside = next[b] >= lower[b] && next[b] <= upper[b];
                V[b] = inside ? next[b] : 0.5f * (lower[b] + upper[b]);
            }
        }
        EACH_LANE surface[b] = faradaic[b] = 0;
        for (int j = 0; j < m; j++) {
            Couple *c = couple + j;
            const float aged = 1 / sqrtf(PI * h * i);
            EACH_LANE {
                float flux = c->flux[b] + c->slope[b] * (next[b] - V[b]);
                float semi_integral = c->past[b] + c->weight[b] * flux;
                faradaic[b] -= FARADAY * area[b] * flux;
                surface[b] += c->c_ox[b] + c->c_red[b]
                            + semi_integral * (c->per_red[b] - c->per_ox[b]);
                float fresh = flux - c->tail[b] * aged - first * c->last[b];
                float tail = first * c->share[b] * fresh;
                c->tail[b] += tail * sqrtf(PI * h);
                c->last[b] = fresh - tail + first * c->last[b];
            }
            if (i == 1) /* held over the first step */
                for (int q = 0; q < job->modes; q++)
                    EACH_LANE c->mode[q][b] = c->last[b] * job->held[q];
        }
        EACH_LANE {
            float new = next[b] - at_end[b] + lag[b];
            float capacitive = film_C[b] * (slope[b] + (lead * new - drop_past[b]) / step[b]);
            I[i * LANES + b] = 1e3f * (capacitive + faradaic[b] + adsorption[b]);
            drop_before[b] = drop[b], drop[b] = new;
        }
        if (fouled) EACH_LANE {
            gain_before[b] = gain[b];
            gain[b] = f[K_ADS][b] * surface[b] + f[K_REACTION][b] * fabsf(faradaic[b]);
        }
    }
    for (int b = 0; b < LANES && at + b < n; b++)
        for (int i = 0; i < L; i++) job->current[(long)(at + b) * L + i] = I[i * LANES + b];
}

void bound(const Job *job, int threads)
{
#pragma omp parallel num_threads(threads)
    {
        const size_t size = sizeof(Lanes) * job->samples;
        float *E = aligned_alloc(64, size), *I = aligned_alloc(64, size);
#pragma omp for schedule(dynamic)
        for (int at = 0; at < job->traces; at += LANES) group(job, at, E, I);
        free(E), free(I);
    }
}
