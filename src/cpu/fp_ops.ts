/**
 * Numbers of the F and D instructions that round, compare, convert or classify: what the
 * processor hands to SoftFloat.run(). Named after the mnemonics of the Unprivileged manual.
 */

export const FP_FADD_S = 0;
export const FP_FSUB_S = 1;
export const FP_FMUL_S = 2;
export const FP_FDIV_S = 3;
export const FP_FSQRT_S = 4;
export const FP_FMIN_S = 5;
export const FP_FMAX_S = 6;
export const FP_FMADD_S = 7;
export const FP_FMSUB_S = 8;
export const FP_FNMSUB_S = 9;
export const FP_FNMADD_S = 10;
export const FP_FEQ_S = 11;
export const FP_FLT_S = 12;
export const FP_FLE_S = 13;
export const FP_FCLASS_S = 14;
export const FP_FADD_D = 15;
export const FP_FSUB_D = 16;
export const FP_FMUL_D = 17;
export const FP_FDIV_D = 18;
export const FP_FSQRT_D = 19;
export const FP_FMIN_D = 20;
export const FP_FMAX_D = 21;
export const FP_FMADD_D = 22;
export const FP_FMSUB_D = 23;
export const FP_FNMSUB_D = 24;
export const FP_FNMADD_D = 25;
export const FP_FEQ_D = 26;
export const FP_FLT_D = 27;
export const FP_FLE_D = 28;
export const FP_FCLASS_D = 29;
export const FP_FCVT_W_S = 30;
export const FP_FCVT_WU_S = 31;
export const FP_FCVT_L_S = 32;
export const FP_FCVT_LU_S = 33;
export const FP_FCVT_S_W = 34;
export const FP_FCVT_S_WU = 35;
export const FP_FCVT_S_L = 36;
export const FP_FCVT_S_LU = 37;
export const FP_FCVT_W_D = 38;
export const FP_FCVT_WU_D = 39;
export const FP_FCVT_L_D = 40;
export const FP_FCVT_LU_D = 41;
export const FP_FCVT_D_W = 42;
export const FP_FCVT_D_WU = 43;
export const FP_FCVT_D_L = 44;
export const FP_FCVT_D_LU = 45;
export const FP_FCVT_S_D = 46;
export const FP_FCVT_D_S = 47;

/** How many numbers there are: they run from 0 to FP_OPS - 1. */
export const FP_OPS = 48;
